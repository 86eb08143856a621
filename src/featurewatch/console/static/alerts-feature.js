// Alerts on a feature's page: what is open, and behind a button what was.

import { AlertsHistory } from "./alerts-history.js";
import { AlertsPanel } from "./alerts-panel.js";
import { h, setAttribute } from "./kit/dom.js";
import { formatRoute } from "./route.js";

export class FeatureAlerts {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    const { router } = context;
    const link = (/** @type {{id: string}} */ alert) => formatRoute({ ...router.route, alert: alert.id });
    /** @type {AlertsHistory|null} */
    this.history = null;
    const place = h("div", { class: "history-place" });
    const past = h("button", { class: "button button-quiet button-small", type: "button", "aria-expanded": "false" }, "History");
    past.addEventListener("click", () => {
      const open = this.history === null;
      setAttribute(past, "aria-expanded", String(open));
      this.history?.close();
      this.history = open ? new AlertsHistory(context, { feature: id, link }) : null;
      place.replaceChildren(...(this.history ? [this.history.element] : []));
    });
    const rules = h("a", { class: "button button-quiet button-small", href: router.link({ page: "settings", feature: id }) }, "Rules");
    this.panel = new AlertsPanel(context, { feature: id, link, aside: [past, rules] });
    this.element = h("div", { class: "feature-alerts" }, this.panel.element, place);
  }

  show() {
    this.panel.draw();
  }

  /** The feed hears of alerts by itself. */
  changed() {
    this.panel.draw();
  }

  close() {
    this.panel.close();
    this.history?.close();
  }
}
