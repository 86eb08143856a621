// <feature-health>: how a feature is, in a word, with the reasons.

import { h, setText } from "./dom.js";
import { FeatureElement } from "./element.js";
import { readable } from "./format.js";
import { HEALTH, healthMark } from "./health.js";
import { watchMetrics } from "./metrics.js";

export class FeatureHealth extends FeatureElement {
  static observedAttributes = [...FeatureElement.own, "feature", "reasons"];
  static styles = `
    :host { display: inline-block; vertical-align: middle; }
    .reasons { display: grid; gap: 2px; margin-top: 4px; color: var(--ink-2); font-size: 13px; }
    .stale { color: var(--ink-3); font-size: 12px; }
  `;

  /** @param {import("./client.js").LiveClient} client */
  joined(client) {
    const { feature } = this;
    this.fill();
    this.title = "";
    delete this.dataset.health;
    if (feature === "") return;
    const mark = h("span", { part: "health", role: "status" });
    const stale = h("span", { class: "stale", part: "stale", hidden: true }, " last known");
    const reasons = h("ul", { class: "reasons", part: "reasons", hidden: true });
    this.fill(mark, stale, reasons);
    let shown = "";
    const { end } = watchMetrics(client, feature, ({ snapshot, isLoading }) => {
      if (snapshot === null && isLoading) return;
      const health = snapshot?.health_status in HEALTH ? snapshot.health_status : "unknown";
      if (health !== shown) {
        mark.replaceChildren(healthMark(health));
        this.dataset.health = health;
        this.tell("healthchange", { feature, from: shown || null, to: health, reasons: snapshot?.reasons ?? [] });
        shown = health;
      }
      stale.hidden = snapshot?.stale !== true;
      const texts = (snapshot?.reasons ?? []).map(readable);
      this.title = texts.join("; ");
      reasons.hidden = !this.hasAttribute("reasons") || texts.length === 0;
      if (reasons.children.length !== texts.length) reasons.replaceChildren(...texts.map((/** @type {string} */ text) => h("li", {}, text)));
      texts.forEach((/** @type {string} */ text, /** @type {number} */ index) => setText(reasons.children[index], text));
    });
    this.until(end);
  }
}
