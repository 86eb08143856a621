// The page of all alerts: what is open, what was.

import { AlertsHistory } from "./alerts-history.js";
import { AlertsPanel } from "./alerts-panel.js";
import { h } from "./kit/dom.js";
import { formatRoute } from "./route.js";

export class AlertsPage {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    const link = (/** @type {{id: string}} */ { id }) => formatRoute({ ...context.router.route, alert: id });
    this.panel = new AlertsPanel(context, { link });
    this.history = new AlertsHistory(context, { link });
    this.element = h("div", { class: "page alerts-page" }, h("h1", { class: "page-title" }, "Alerts"), this.panel.element, this.history.element);
  }

  close() {
    this.panel.close();
    this.history.close();
  }

  refresh() {
    this.panel.refresh();
    this.history.refresh();
  }
}
