// One alert whole: what it is about, whether anyone was notified, what was done and said, and what can be done now.

import { act, askAcknowledge, askResolve, askUnacknowledge } from "./alerts-act.js";
import { severityMark, timeMark } from "./alerts-marks.js";
import { explained, failureOf, isOurs } from "./alerts-explain.js";
import { Field } from "./alerts-form.js";
import { STATUSES, durationOf, endOf, factsOf, legible, sentence } from "./alerts-words.js";
import { debounce, h, setText } from "./kit/dom.js";
import { FIGURES, asText, figure } from "./kit/format.js";
import { icon } from "./kit/icons.js";
import { plain } from "./kit/plain-text.js";
import { nameOf } from "./store.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */
/** @typedef {{kind: string, timestamp: string, author: string, text: string}} Remark */

/** @type {Record<string, string>} */
const DEEDS = { acknowledge: "took it on", unacknowledge: "gave it back", resolve: "closed it", expire: "acknowledgement ended" };
/** The figures that say most about a feature, as they were when the alert fired. */
const FIGURES_SHOWN = ["error_rate", "response_time_p95", "requests_per_minute", "total_requests", "cost_per_request", "uptime"];
/** Lines from so long before the alert fired are shown with it. */
const BEFORE = 5 * 60_000;

export class AlertDetails {
  /** @param {import("./main.js").Context} context @param {string} id @param {import("./alerts-dialog.js").Dialog} dialog */
  constructor(context, id, dialog) {
    this.context = context;
    this.id = id;
    this.dialog = dialog;
    this.factsText = "";
    this.path = `/alerts/${encodeURIComponent(id)}`;
    this.aborter = new AbortController();
    this.changed = debounce(() => void this.load(), 250);
    this.head = h("div", { class: "detail-head" });
    this.facts = h("dl", { class: "facts" });
    this.told = h("section", { class: "detail-part" }, h("h3", {}, "Was anyone notified?"), h("p", { class: "quiet", role: "status" }, "Looking…"));
    this.story = h("ol", { class: "story" });
    this.storyPart = h("section", { class: "detail-part" }, h("h3", {}, "What was done and said"), this.story);
    this.text = h("textarea", { class: "input textarea", rows: "2", maxlength: "4000" });
    this.field = new Field({ name: "comment", label: "Say something", control: this.text, read: () => this.text.value.trim(), wide: true });
    this.form = h("form", { class: "comment-form", hidden: true }, this.field.element, h("button", { class: "button", type: "submit" }, "Add comment"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#comment();
    });
    this.figures = h("section", { class: "detail-part", hidden: true });
    this.body = h("div", { class: "detail", hidden: true }, this.head, this.facts, this.told, this.storyPart, this.form, this.figures);
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    dialog.body.append(this.note, this.body);
    this.end = context.caller.subscribe(() => this.alert && this.#drawActions(this.alert));
    this.timer = setInterval(() => this.alert && this.#drawFacts(this.alert), 1_000);
    void this.load();
  }

  close() {
    clearInterval(this.timer);
    this.aborter.abort();
    this.end();
  }

  async load() {
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    try {
      const alert = await this.context.api.get(this.path, {}, aborter.signal);
      if (aborter.signal.aborted) return;
      this.#draw(legible(alert));
      const told = await this.context.api.get(`${this.path}/explain`, {}, aborter.signal);
      if (!aborter.signal.aborted) this.told.replaceChildren(h("h3", {}, "Was anyone notified?"), explained(told));
    } catch (error) {
      if (aborter.signal.aborted) return;
      const { status, message } = /** @type {import("./kit/api.js").ApiError} */ (error);
      const text = status === 404 ? "This alert does not exist, or is forgotten by now. The history shows what is still known." : message;
      if (this.alert === undefined) setText(this.note, text);
      else this.dialog.say(text);
    }
  }

  /** @param {Alert & {remarks: Remark[]}} alert */
  #draw(alert) {
    this.alert = alert;
    this.note.remove();
    this.body.hidden = false;
    this.dialog.element.dataset.severity = alert.severity;
    const known = this.context.store.features.get(alert.featureId);
    setText(this.dialog.title, alert.title);
    const feature = h("a", { href: this.context.router.link({ page: "feature", feature: alert.featureId }) }, known === undefined ? alert.featureId : nameOf(known));
    this.head.replaceChildren(severityMark(alert.severity), h("span", { class: "status-chip", dataset: { status: alert.status } }, STATUSES[alert.status]), feature, h("span", { class: "chip" }, alert.environment));
    this.#drawFacts(alert);
    this.#drawStory(alert);
    this.#drawFigures(alert);
    this.#drawActions(alert);
  }

  /** @param {Alert} alert */
  #drawFacts(alert) {
    const { label, value, limit, message } = factsOf(alert);
    /** @type {[string, (Node|string)[]][]} */
    const facts = label === "" ? [["What", [sentence(message)]]] : [[label, [h("b", {}, value), " when it fired"]], ["Threshold", [limit]]];
    facts.push(["Since", [timeMark(alert.triggered_at), ` · ${alert.status === "resolved" ? "for " : ""}${durationOf(alert, Date.now())}`]]);
    if (alert.acknowledged_at !== undefined) {
      const until = alert.metadata.acknowledged_until;
      facts.push(["Acknowledged", [`by ${alert.acknowledged_by}, `, timeMark(alert.acknowledged_at), ...(until ? [" until ", timeMark(until)] : [])]]);
    }
    if (alert.resolved_at !== undefined) facts.push(["Ended", [timeMark(alert.resolved_at), ` · ${endOf(alert)}`]]);
    facts.push(["Condition", [alert.condition_active ? (alert.status === "resolved" ? "still holds: silent until it clears" : "holds") : "does not hold any more"]]);
    const text = JSON.stringify(facts.map(([name, parts]) => [name, parts.map((part) => (typeof part === "string" ? part : part.textContent))]));
    if (text === this.factsText) return;
    this.factsText = text;
    this.facts.replaceChildren(...facts.flatMap(([name, parts]) => [h("dt", {}, name), h("dd", {}, ...parts)]));
  }

  /** @param {Alert & {remarks: Remark[]}} alert */
  #drawStory(alert) {
    const items = alert.remarks.map(({ kind, timestamp, author, text }) => {
      // Alertmanager's webhook to the bridge keeps the history: nobody was told by it.
      const whom = kind === "delivery" && isOurs(author) ? "The bridge" : author;
      const what = kind === "comment" ? "said" : kind === "delivery" ? (failureOf(text) !== "" ? `could not be told: ${failureOf(text)}` : text === "firing" ? "was told" : "was told of the end") : (DEEDS[text] ?? text);
      const told = h("span", {}, h("b", {}, whom), ` ${what}`);
      return h("li", { dataset: { kind } }, told, timeMark(timestamp), kind === "comment" && h("p", { class: "story-text", dir: "auto" }, plain(text)));
    });
    this.story.replaceChildren(h("li", { dataset: { kind: "fired" } }, h("span", {}, "It fired"), timeMark(alert.triggered_at)), ...items);
    if (alert.resolved_at !== undefined && alert.resolve_reason !== "manual") this.story.append(h("li", { dataset: { kind: "ended" } }, h("span", {}, `It ended: ${endOf(alert)}`), timeMark(alert.resolved_at)));
  }

  /** @param {Alert} alert */
  #drawFigures({ metadata: { metrics_snapshot: figures } }) {
    const known = FIGURES_SHOWN.filter((name) => typeof figures?.[name] === "number");
    this.figures.hidden = known.length === 0;
    this.figures.replaceChildren(h("h3", {}, "The feature when it fired"), h("dl", { class: "moment" }, ...known.map((name) => h("div", {}, h("dt", {}, FIGURES[name].label), h("dd", {}, asText(figure(name, figures[name])))))));
  }

  /** @param {Alert} alert */
  #drawActions(alert) {
    const may = this.context.caller.may("act");
    this.form.hidden = !may;
    const back = () => this.dialog.title;
    const button = (/** @type {string} */ text, /** @type {() => unknown} */ run, main = false) => h("button", { class: `button ${main ? "button-main" : ""}`, type: "button", onclick: run }, text);
    const lines = () => {
      const end = alert.resolved_at ?? "";
      const from = new Date(Date.parse(alert.triggered_at) - BEFORE).toISOString();
      // The details are modal: the log would lie beneath them.
      this.dialog.close({ sure: true });
      this.context.openLogs(alert.featureId, { levels: [], search: "", range: "custom", from, to: end === "" ? "" : new Date(Date.parse(end) + BEFORE).toISOString() });
    };
    const open = alert.status !== "resolved" && may;
    this.dialog.setFoot(
      h("button", { class: "button", type: "button", onclick: lines }, icon("logs"), "View logs"),
      h("span", { class: "foot-space" }),
      ...(open && alert.status === "acknowledged" ? [button("Un-acknowledge", () => askUnacknowledge(this.context, [alert], back))] : []),
      ...(open ? [button("Resolve", () => askResolve(this.context, [alert], back))] : []),
      ...(open && alert.status === "active" ? [button("Acknowledge", () => askAcknowledge(this.context, [alert], back), true)] : []),
    );
  }

  async #comment() {
    const comment = /** @type {string} */ (this.field.read());
    this.field.fail(comment === "" ? "Say something first." : "");
    if (comment === "" || this.alert === undefined) return this.text.focus();
    try {
      await act(this.context, [this.alert], "comment", { comment });
      this.text.value = "";
      await this.load();
    } catch (error) {
      this.field.fail(/** @type {Error} */ (error).message);
    }
    return this.text.focus();
  }
}
