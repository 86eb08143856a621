// <feature-alerts>: what is open, of one feature or of all, and what can be done about it.

import { AlertList } from "./alert-list.js";
import { h, setText } from "./dom.js";
import { FeatureElement } from "./element.js";
import { moment, readable } from "./format.js";
import { icon } from "./icons.js";
import { plain } from "./plain-text.js";

/** @type {Record<string, string>} */
const MARKS = { critical: "error", high: "error", medium: "warning", low: "unknown" };

export class FeatureAlerts extends FeatureElement {
  static observedAttributes = [...FeatureElement.own, "feature", "actions"];
  static styles = `
    .clear { display: flex; align-items: center; gap: 8px; padding: 12px 14px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); color: var(--healthy); font-weight: 500; }
    .clear[data-kind="failed"] { color: var(--error); }
    .clear[data-kind="loading"] { color: var(--ink-3); font-weight: 400; }
    .alerts { display: grid; gap: 8px; }
    .alert { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 2px 10px; padding: 10px 14px; border: 1px solid var(--line); border-left: 3px solid var(--tone); border-radius: var(--radius); background: var(--surface); }
    .alert > .icon { margin-top: 2px; color: var(--tone); }
    .alert[data-severity="critical"], .alert[data-severity="high"] { --tone: var(--error); }
    .alert[data-severity="medium"] { --tone: var(--warning); }
    .alert[data-severity="low"] { --tone: var(--unknown); }
    .alert-title { font-weight: 600; overflow-wrap: anywhere; }
    .alert-severity { color: var(--tone); font-size: 12px; font-weight: 600; text-transform: uppercase; letter-spacing: 0.03em; }
    .alert-message, .alert-about { grid-column: 2 / -1; color: var(--ink-2); font-size: 13px; overflow-wrap: anywhere; }
    .alert-about { color: var(--ink-3); font-size: 12.5px; }
    .alert-actions { grid-column: 2 / -1; display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-top: 6px; }
    .alert-failure { color: var(--error); font-size: 12.5px; }
  `;

  /** @param {import("./client.js").LiveClient} client */
  joined(client) {
    const note = h("div", { class: "clear", part: "note", role: "status" }, icon("healthy"), h("span", {}));
    const items = h("ul", { class: "alerts", part: "alerts", "aria-label": "Open alerts" });
    this.fill(note, items);
    /** @type {Map<string, {text: string, element: HTMLElement}>} */
    let drawn = new Map();
    const list = new AlertList({
      client,
      featureId: this.feature,
      happened: (type, alert) => this.tell("alert", { type, alert }),
      changed: () => {
        const { alerts } = list;
        const kind = list.isLoading ? "loading" : list.error !== null ? "failed" : "clear";
        note.hidden = alerts.length > 0;
        note.dataset.kind = kind;
        /** @type {Element} */ (note.firstElementChild).toggleAttribute("hidden", kind !== "clear");
        setText(/** @type {Node} */ (note.lastChild), { loading: "Loading alerts…", failed: list.error?.message ?? "", clear: "All clear" }[kind]);
        const next = new Map();
        for (const alert of alerts) {
          const text = JSON.stringify(alert);
          const before = drawn.get(alert.id);
          // One that did not change keeps its element, and with it the focus within.
          next.set(alert.id, before?.text === text ? before : { text, element: this.#item(list, alert) });
        }
        drawn = next;
        const wanted = [...next.values()].map(({ element }) => element);
        if (wanted.length !== items.children.length || wanted.some((element, index) => items.children[index] !== element)) items.replaceChildren(...wanted);
      },
    });
    list.told();
    this.until(() => list.end());
  }

  /** @param {AlertList} list @param {import("./alert-list.js").Alert} alert */
  #item(list, alert) {
    const failure = h("span", { class: "alert-failure", role: "alert" });
    const act = (/** @type {"acknowledge"|"resolve"} */ action, /** @type {string} */ text) => {
      const button = h("button", { class: "button button-small", part: "action", type: "button" }, text);
      button.addEventListener("click", async () => {
        button.disabled = true;
        setText(failure, "");
        try {
          const changed = await list[action](alert.id);
          this.tell("alertaction", { action, alert: changed });
        } catch (error) {
          setText(failure, /** @type {Error} */ (error).message);
          button.disabled = false;
        }
      });
      return button;
    };
    const since = moment(new Date(alert.triggered_at), new Date());
    const taken = alert.status === "acknowledged" ? ` · acknowledged${alert.acknowledged_by ? ` by ${alert.acknowledged_by}` : ""}` : "";
    return h(
      "li",
      { class: "alert", part: `alert alert-${alert.severity}`, dataset: { severity: alert.severity, status: alert.status } },
      icon(MARKS[alert.severity] ?? "unknown"),
      h("span", { class: "alert-title" }, plain(String(alert.title))),
      h("span", { class: "alert-severity" }, alert.severity),
      h("span", { class: "alert-message" }, readable(plain(String(alert.message)))),
      h("span", { class: "alert-about" }, `${this.feature === "" ? `${alert.featureId} · ` : ""}${alert.environment ?? ""} · since ${since}${taken}`),
      this.hasAttribute("actions") &&
        h("span", { class: "alert-actions" }, alert.status === "active" && act("acknowledge", "Acknowledge"), act("resolve", "Resolve"), failure),
    );
  }
}
