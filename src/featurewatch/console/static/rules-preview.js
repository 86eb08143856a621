// What a rule would have done in the last seven days, drawn over its metric, while it is still being typed.

import { LINES, lasted, valueText } from "./alerts-words.js";
import { timeMark } from "./alerts-marks.js";
import { h, setText } from "./kit/dom.js";
import { RuleChart } from "./rules-chart.js";

/** @typedef {{environment: string, start: string, end: string|null, value: number|null, reason: string}} Firing */
/**
 * @typedef {{count: number, firings: Firing[], notifications: number, start: string, end: string, step_seconds: number, rule: Record<string, any>,
 *     chart: {environment: string, points: [number, number|null][]}[]}} Previewed
 */

const HOUR = 3_600_000;
/** @type {{name: string, chart: string, span: number, step: number}[]} how much is drawn, and how far apart its points are */
const SPANS = [
  { name: "1 h", chart: "1h", span: HOUR, step: 60_000 },
  { name: "24 h", chart: "24h", span: 24 * HOUR, step: 240_000 },
  { name: "7 d", chart: "7d", span: 168 * HOUR, step: 1_680_000 },
];
const LISTED = 5;
const INCOMPLETE = "Complete the rule to see what it would have done";

/** @param {number} count */
const times = (count) => (count === 1 ? "once" : count === 2 ? "twice" : `${count} times`);

export class RulePreview {
  /** @param {import("./main.js").Context} context @param {string} id the feature */
  constructor(context, id) {
    this.context = context;
    this.path = `/features/${encodeURIComponent(id)}`;
    this.feature = id;
    this.aborter = new AbortController();
    this.span = SPANS[2];
    this.chosen = false;
    /** @type {Record<string, unknown>} */
    this.body = {};
    /** @type {Previewed|undefined} */
    this.seen = undefined;
    this.chart = new RuleChart();
    this.chart.element.hidden = true;
    this.buttons = SPANS.map((span) => h("button", { class: "segment", type: "button", "aria-pressed": "false", onclick: () => this.#choose(span) }, span.name));
    this.segments = h("div", { class: "segments", role: "group", "aria-label": "How much is drawn", hidden: true }, ...this.buttons);
    this.title = h("p", { class: "preview-title", role: "status" }, "…");
    this.note = h("p", { class: "preview-note" });
    this.list = h("ul", { class: "preview-list", role: "list", "aria-label": "When it would have fired" });
    this.element = h(
      "section",
      { class: "preview", "aria-label": "Preview over the last 7 days" },
      h("div", { class: "preview-head" }, this.title, this.segments),
      this.chart.element,
      this.note,
      this.list,
    );
  }

  close() {
    this.aborter.abort();
    this.chart.close();
  }

  /** There is nothing to try out without a threshold. @returns {import("./kit/api.js").Detail[]} what is wrong with it */
  wait() {
    this.aborter.abort();
    this.element.removeAttribute("aria-busy");
    this.element.classList.add("is-old");
    setText(this.title, INCOMPLETE);
    return [{ field: "threshold", message: "is missing; expected a number" }];
  }

  /**
   * Try a rule out.
   * @param {Record<string, unknown>} body @returns {Promise<import("./kit/api.js").Detail[]>} what is wrong with it
   */
  async show(body) {
    this.body = body;
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    this.element.setAttribute("aria-busy", "true");
    const ask = () => this.context.api.post(`${this.path}/alerts/rules/preview?chart=${this.span.chart}`, body, aborter.signal);
    try {
      this.seen = await ask();
      if (this.#fitSpan()) this.seen = await ask();
      if (aborter.signal.aborted) return [];
      this.#draw();
    } catch (error) {
      if (aborter.signal.aborted) return [];
      const { status, message, details = [] } = /** @type {import("./kit/api.js").ApiError} */ (error);
      this.element.classList.add("is-old");
      setText(this.title, status === 400 || status === 422 ? INCOMPLETE : message);
      return details;
    } finally {
      if (this.aborter === aborter) this.element.removeAttribute("aria-busy");
    }
    return [];
  }

  /** @param {typeof SPANS[0]} span */
  #choose(span) {
    this.span = span;
    this.chosen = true;
    void this.show(this.body);
  }

  /** Choose how much is drawn, once: a feature that is an hour old would be a sliver in a week. @returns {boolean} whether it changed */
  #fitSpan() {
    if (this.chosen || this.seen === undefined) return false;
    this.chosen = true;
    // Lines that do not come count 0: a log has no beginning but its first line.
    const least = this.seen.rule.kind === "logs" ? 1 : 0;
    const known = this.seen.chart.flatMap(({ points }) => points.find(([, value]) => value !== null && value >= least)?.[0] ?? []);
    if (known.length === 0) return false;
    const age = Date.parse(this.seen.end) - Math.min(...known);
    this.span = age < 2 * HOUR ? SPANS[0] : age < 36 * HOUR ? SPANS[1] : SPANS[2];
    return this.span !== SPANS[2];
  }

  #draw() {
    if (this.seen === undefined) return;
    const { rule, firings, count, notifications, step_seconds: step } = this.seen;
    const environment = this.#environment(rule);
    this.element.classList.remove("is-old");
    this.chart.element.hidden = this.segments.hidden = false;
    setText(this.title, count === 0 ? "It would not have fired in the last 7 days" : `It would have fired ${times(count)} in the last 7 days`);
    const told = rule.notification_channels.length === 0 || count === 0 ? "" : `Each channel would have been told ${times(notifications)}, reminders included. `;
    const elsewhere = firings.filter((one) => one.environment !== environment).length;
    const rest = elsewhere === 0 ? "" : `${elsewhere} of them in other environments than ${environment}. `;
    const looked = step > 60 ? `Looked at every ${step / 60} minutes. ` : "";
    const end = Date.parse(this.seen.end);
    setText(this.note, `${told}${rest}${looked}`.trim());
    for (const [index, button] of this.buttons.entries()) button.setAttribute("aria-pressed", String(SPANS[index] === this.span));
    this.chart.update({
      metric: rule.kind === "logs" ? LINES : rule.metric,
      condition: rule.condition,
      threshold: rule.threshold,
      points: this.seen.chart.find((one) => one.environment === environment)?.points ?? [],
      step: Math.max(this.span.step, step * 1000),
      bands: firings.filter((one) => one.environment === environment).map((one) => ({ start: Date.parse(one.start), end: one.end === null ? end : Date.parse(one.end), value: one.value })),
      from: end - this.span.span,
      to: end,
    });
    this.#drawList(firings, rule);
  }

  /** Choose the environment that is drawn: the one that is looked at, where it has figures; else one that has. @param {Record<string, any>} rule @returns {string} */
  #environment(rule) {
    if (rule.environment) return rule.environment;
    const { chart, firings } = /** @type {Previewed} */ (this.seen);
    const known = chart.filter(({ points }) => points.some(([, value]) => value !== null)).map(({ environment }) => environment);
    const { about = {}, snapshot = null } = this.context.store.features.get(this.feature) ?? {};
    const wanted = [this.context.router.route.env, snapshot?.environment, about.environment];
    return wanted.find((one) => one && known.includes(one)) ?? firings[0]?.environment ?? known[0] ?? chart[0]?.environment ?? "";
  }

  /** @param {Firing[]} firings @param {Record<string, any>} rule */
  #drawList(firings, rule) {
    const newest = [...firings].reverse();
    const end = Date.parse(/** @type {Previewed} */ (this.seen).end);
    const metric = rule.kind === "logs" ? LINES : rule.metric;
    this.list.replaceChildren(
      ...newest.slice(0, LISTED).map((one) =>
        h("li", {}, timeMark(one.start), ` for ${lasted((one.end === null ? end : Date.parse(one.end)) - Date.parse(one.start))}${one.end === null ? ", until now" : ""}`, h("span", { class: "preview-worst" }, one.reason === "no_data" ? "no data" : `worst ${valueText(metric, one.value)}`), h("span", { class: "chip" }, one.environment)),
      ),
      ...(newest.length > LISTED ? [h("li", { class: "quiet" }, `and ${newest.length - LISTED} before`)] : []),
    );
  }
}
