// One alert in a list: how bad, what, where, since when, and what can be done about it.

import { askAcknowledge, askResolve, askUnacknowledge } from "./alerts-act.js";
import { severityMark } from "./alerts-marks.js";
import { durationOf, endOf, factsOf, valueText } from "./alerts-words.js";
import { h, setText } from "./kit/dom.js";
import { ago, moment } from "./kit/format.js";
import { nameOf } from "./store.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */

export class AlertCard {
  /**
   * @param {import("./main.js").Context} context @param {Alert} alert
   * @param {{link: (alert: Alert) => string, feature?: boolean, pick?: (picked: boolean) => void, may: () => boolean, back: () => HTMLElement|null}} options
   *     link: where its details are; feature: whether its feature is named; back: where the focus goes when the card moves
   */
  constructor(context, alert, { link, feature = false, pick, may, back }) {
    this.context = context;
    this.options = { link, feature, may, back };
    this.picked = h("input", { type: "checkbox", onchange: () => pick?.(this.picked.checked) });
    this.pick = h("label", { class: "alert-pick", hidden: pick === undefined }, this.picked);
    this.severity = h("span", { class: "alert-severity" });
    this.title = h("a", { class: "alert-title" });
    this.feature = h("a", { class: "alert-feature", hidden: !feature });
    this.environment = h("span", { class: "chip" });
    this.facts = h("p", { class: "alert-facts" });
    this.when = h("p", { class: "alert-when" });
    this.actions = h("div", { class: "alert-actions" });
    this.element = h(
      "li",
      { class: "alert", tabindex: "-1" },
      this.pick,
      h("div", { class: "alert-main" }, h("div", { class: "alert-line" }, this.severity, this.title, this.feature, this.environment), this.facts, this.when),
      this.actions,
    );
    this.drawn = "";
    this.alert = alert;
    this.update(alert);
  }

  /** @param {Alert} alert */
  update(alert) {
    this.alert = alert;
    const text = JSON.stringify([alert, this.options.may()]);
    if (text !== this.drawn) {
      // The button that was pressed may be gone now: the reader stays at the alert.
      const held = this.actions.contains(document.activeElement);
      this.#draw();
      if (held) this.element.focus({ preventScroll: true });
    }
    this.drawn = text;
    this.tick();
  }

  /** Whether something of it is told in seconds. */
  counts() {
    const { triggered_at: fired, acknowledged_at: taken = fired, status } = this.alert;
    return status !== "resolved" && Date.now() - Math.max(Date.parse(fired), Date.parse(taken)) < 100_000;
  }

  /** Show what changes by itself: durations, and the figure as it is now. */
  tick() {
    const { alert } = this;
    const now = Date.now();
    const since = `since ${moment(new Date(alert.triggered_at), new Date())}`;
    const parts =
      alert.status === "resolved"
        ? [`${moment(new Date(alert.triggered_at), new Date())}, for ${durationOf(alert, now)}`, endOf(alert)]
        : [`Firing for ${durationOf(alert, now)}`, since];
    if (alert.status === "acknowledged" && alert.acknowledged_at) {
      const until = alert.metadata.acknowledged_until;
      parts.push(`acknowledged by ${alert.acknowledged_by} ${ago(now - Date.parse(alert.acknowledged_at))}${until ? ` until ${moment(new Date(until), new Date())}` : ""}`);
    }
    if (alert.status === "resolved" && alert.condition_active) parts.push("its condition still holds");
    const comments = Number(alert.metadata.comments ?? 0);
    if (comments > 0) parts.push(comments === 1 ? "1 comment" : `${comments} comments`);
    setText(this.when, parts.join(" · "));
    this.#drawFacts();
  }

  #draw() {
    const { alert, context } = this;
    const { link, may, back } = this.options;
    const known = context.store.features.get(alert.featureId);
    const name = known === undefined ? alert.featureId : nameOf(known);
    this.element.dataset.severity = alert.severity;
    this.element.dataset.status = alert.status;
    this.element.dataset.alert = alert.id;
    this.picked.setAttribute("aria-label", `Select ${alert.title}, ${name}, ${alert.environment}`);
    this.severity.replaceChildren(severityMark(alert.severity));
    setText(this.title, alert.title);
    this.title.setAttribute("href", link(alert));
    setText(this.feature, name);
    this.feature.setAttribute("href", context.router.link({ page: "feature", feature: alert.featureId }));
    setText(this.environment, alert.environment);
    const about = `${alert.title}, ${name}`;
    const button = (/** @type {string} */ text, /** @type {(context: any, alerts: Alert[], back: any) => unknown} */ run) =>
      h("button", { class: "button button-small", type: "button", "aria-label": `${text}: ${about}`, onclick: () => run(context, [this.alert], back) }, text);
    this.actions.replaceChildren(
      ...(may() && alert.status !== "resolved" ? [alert.status === "active" ? button("Acknowledge", askAcknowledge) : button("Un-acknowledge", askUnacknowledge), button("Resolve", askResolve)] : []),
    );
  }

  #drawFacts() {
    const { alert } = this;
    const { label, value, limit, message } = factsOf(alert);
    if (label === "") {
      setText(this.facts, message);
      return;
    }
    const snapshot = this.context.store.features.get(alert.featureId)?.snapshot;
    const { metric } = alert.metadata;
    const known = snapshot?.environment === alert.environment && !snapshot.stale && alert.status !== "resolved" ? snapshot.metrics[metric] : undefined;
    const now = known === undefined || known === null ? "" : ` · now ${valueText(metric, known)} (last ${this.context.window})`;
    const rest = ` · threshold ${limit}${now}`;
    if (this.facts.dataset.text === label + value + rest) return;
    this.facts.dataset.text = label + value + rest;
    this.facts.replaceChildren(`${label} `, h("b", {}, value), rest);
  }
}
