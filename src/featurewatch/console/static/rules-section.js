// The rules of a feature: what each asks, whether it fires, how far it got on its way to whoever evaluates it.

import { severityMark } from "./alerts-marks.js";
import { toggle } from "./alerts-form.js";
import { feedOf } from "./alerts-shared.js";
import { conditionText, minutesText, sentence } from "./alerts-words.js";
import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";
import { moment } from "./kit/format.js";
import { plain } from "./kit/plain-text.js";
import { editRule } from "./rules-editor.js";

/** @typedef {import("./rules-fields.js").Rule} Rule */

const STEPS = ["saved", "written", "loaded", "evaluated"];
/** @type {Record<string, string>} */
const HELP = {
  saved: "Kept; it is on its way to whoever evaluates it",
  written: "Written to where it is read from",
  loaded: "Loaded by whoever evaluates it",
  evaluated: "Evaluated without an error",
  failed: "It is not evaluated",
};
/** How often the list is read again: while a rule is on its way, and else. */
const ON_ITS_WAY = 2_000;
const SETTLED = 15_000;

/** Show how far a rule got. @param {Rule} rule */
export function deploymentMark({ enabled, deployment: { state, error, at } }) {
  if (!enabled) return h("span", { class: "deployment", dataset: { state: "off" } }, "Off");
  const reached = STEPS.indexOf(state);
  const when = at ? `, ${moment(new Date(at), new Date())}` : "";
  return h(
    "span",
    { class: "deployment", dataset: { state }, title: `${HELP[state] ?? state}${when}` },
    state === "failed" ? icon("error") : h("span", { class: "deployment-steps", "aria-hidden": "true" }, ...STEPS.map((_, index) => h("span", { class: index <= reached ? "is-reached" : "" }))),
    sentence(state),
    error ? h("span", { class: "visually-hidden" }, `: ${error}`) : null,
  );
}

export class RulesSection {
  /** @param {import("./main.js").Context} context @param {string} id @param {import("./declaration.js").Declaration} [declaration] */
  constructor(context, id, declaration) {
    this.context = context;
    this.id = id;
    this.path = `/features/${encodeURIComponent(id)}/alerts/rules`;
    /** @type {Rule[]} */
    this.rules = [];
    this.read = 0;
    this.drawn = "";
    this.make = h("button", { class: "button", type: "button", hidden: true, onclick: () => this.#edit() }, "New rule");
    this.list = h("ul", { class: "rule-list", role: "list", "aria-label": "Rules" });
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.problem = h("p", { class: "problem rule-problem", role: "alert", hidden: true });
    this.element = h("div", { class: "rules" }, this.note, this.list, this.problem, h("div", { class: "rules-end" }, this.make));
    this.ends = [
      context.caller.subscribe(() => this.#draw()),
      feedOf(context).subscribe(() => this.#draw()),
      ...(declaration === undefined ? [] : [declaration.subscribe(() => void this.load())]),
    ];
    this.timer = setInterval(() => this.#keepUp(), 500);
    void this.load();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    for (const end of this.ends) end();
  }

  async load() {
    this.read = Date.now();
    try {
      const { rules } = await this.context.api.get(this.path);
      if (this.closed) return;
      this.rules = rules;
      this.loaded = true;
      this.#draw();
    } catch (error) {
      if (!this.loaded) setText(this.note, /** @type {Error} */ (error).message);
    }
  }

  #keepUp() {
    const onItsWay = this.rules.some(({ enabled, deployment: { state } }) => enabled && state !== "evaluated" && state !== "failed");
    if (!document.hidden && Date.now() - this.read >= (onItsWay ? ON_ITS_WAY : SETTLED)) void this.load();
  }

  #draw() {
    const may = this.context.caller.may("edit");
    this.make.hidden = !may;
    if (!this.loaded) return;
    const firing = new Set(feedOf(this.context).list({ feature: this.id }).map(({ ruleId }) => ruleId));
    const text = JSON.stringify([this.rules, may, [...firing]]);
    if (text === this.drawn) return;
    this.drawn = text;
    this.note.hidden = this.rules.length > 0;
    setText(this.note, may ? "No rule watches this feature yet. Make one: you see what it would have done before you keep it." : "No rule watches this feature yet. An editor can make one.");
    // The switch or name that has the focus keeps it.
    const held = /** @type {HTMLElement|null} */ (document.activeElement)?.closest(".rule");
    const focused = held && this.list.contains(held) ? { rule: /** @type {HTMLElement} */ (held).dataset.rule, switch: document.activeElement?.matches(".toggle") } : null;
    this.list.replaceChildren(...this.rules.map((rule) => this.#item(rule, may, firing.has(rule.id))));
    if (focused) /** @type {HTMLElement|null} */ (this.list.querySelector(`[data-rule="${CSS.escape(focused.rule ?? "")}"] ${focused.switch ? ".toggle" : ".rule-name"}`))?.focus({ preventScroll: true });
  }

  /** @param {Rule} rule @param {boolean} may @param {boolean} fires */
  #item(rule, may, fires) {
    const waits = rule.kind === "slo" ? `over ${minutesText(rule.burn.long_minutes)} and ${minutesText(rule.burn.short_minutes)}` : `over ${minutesText(rule.window_minutes)}, ${rule.for_minutes === 0 ? "at once" : `for ${minutesText(rule.for_minutes)}`}`;
    const ask = rule.kind === "slo" ? `Error budget burns ${rule.burn.factor} times too fast` : conditionText(rule);
    const people = rule.notification_channels.length === 0 ? "tells nobody" : `tells ${rule.notification_channels.join(", ")}`;
    const facts = [`${ask} ${waits}`, rule.environment ?? "", people, rule.kind === "slo" ? "of the objective" : "", rule.origin === "file" ? "from a features.yml" : ""];
    const editable = may && rule.kind !== "slo";
    return h(
      "li",
      { class: "rule", dataset: { rule: rule.id, state: rule.deployment.state, enabled: String(rule.enabled) } },
      h(
        "div",
        { class: "rule-main" },
        h("div", { class: "rule-line" }, severityMark(rule.severity), h("button", { class: "rule-name", type: "button", "aria-haspopup": "dialog", onclick: () => this.#edit(rule) }, plain(rule.name)), fires && h("span", { class: "status-chip", dataset: { status: "active" } }, "Firing")),
        h("p", { class: "rule-text" }, facts.filter(Boolean).join(" · ")),
        rule.enabled && rule.deployment.error ? h("p", { class: "rule-error" }, rule.deployment.error) : null,
      ),
      deploymentMark(rule),
      editable ? toggle(`${rule.name}: enabled`, rule.enabled, (on) => void this.#enable(rule, on)) : h("span", { class: "rule-kind" }),
    );
  }

  /** @param {Rule} rule @param {boolean} on */
  async #enable(rule, on) {
    this.problem.hidden = true;
    try {
      await this.context.api.put(`${this.path}/${rule.id}`, { enabled: on }, rule.revision);
    } catch (error) {
      const { status, message } = /** @type {import("./kit/api.js").ApiError} */ (error);
      setText(this.problem, status === 412 ? `Somebody else changed “${rule.name}” meanwhile. It is shown as it is now: try again.` : message);
      this.problem.hidden = false;
      this.drawn = "";
    }
    await this.load();
  }

  /** @param {Rule} [rule] left out: a new one */
  #edit(rule) {
    const back = () => /** @type {HTMLElement|null} */ (rule === undefined ? this.make : (this.list.querySelector(`[data-rule="${CSS.escape(rule.id)}"] .rule-name`) ?? this.make));
    void editRule(this.context, this.id, { rule, back, saved: () => void this.load() });
  }
}
