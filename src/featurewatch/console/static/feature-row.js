// One feature on the overview: its health, figures and last hour in a line.

import { h, oncePerFrame, setAttribute, setText } from "./kit/dom.js";
import { FIGURES, ago, readable } from "./kit/format.js";
import { figureElement } from "./kit/figures.js";
import { healthMark } from "./kit/health.js";
import { History } from "./history.js";
import { icon } from "./kit/icons.js";
import { trafficBars } from "./sparkline.js";
import { healthOf, nameOf } from "./store.js";
import { rangeOf } from "./times.js";

/** A row has room for so many bars. */
const BARS = 60;
/** From here on (ms) a step is shown while it still runs. */
const LONG = 300_000;
const SHOWN = ["requests_per_minute", "error_rate", "response_time_p95", "uptime", "total_cost"];

export class FeatureRow {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.inSight = false;
    this.changed = true;
    this.health = "";
    this.chosen = "";
    this.range = rangeOf(context.router.route, BARS);
    this.alertCount = 0;
    /** @type {History|null} */
    this.history = null;
    this.healthCell = h("span", { class: "row-health" });
    this.link = h("a", { class: "row-link", href: context.router.link({ page: "feature", feature: id }) });
    this.alerts = h("span", { class: "row-alerts", hidden: true });
    this.reason = h("span", { class: "row-reason" });
    this.spark = h("span", { class: "row-spark" });
    this.figures = SHOWN.map((name) => ({ name, ...figureElement(name) }));
    this.logs = h("button", { class: "icon-button row-logs", type: "button", onclick: () => context.openLogs(id) }, icon("logs"));
    this.element = h(
      "li",
      { class: "row", dataset: { id } },
      this.healthCell,
      h("span", { class: "row-name" }, h("span", { class: "row-title" }, this.link, this.alerts), this.reason),
      this.spark,
      ...this.figures.map(({ name, element }) => h("span", { class: "row-figure", dataset: { metric: name } }, h("span", { class: "row-label" }, FIGURES[name].short), element)),
      this.logs,
    );
    this.drawSpark = oncePerFrame(() => this.#drawSpark());
    this.#drawSpark();
  }

  close() {
    this.history?.close();
    this.element.remove();
  }

  touch() {
    this.changed = true;
  }

  /** @param {boolean} inSight */
  setInSight(inSight) {
    this.inSight = inSight;
    this.follow(Date.now());
  }

  refresh() {
    this.history?.refresh();
  }

  /** @param {number} now */
  follow(now) {
    if (this.inSight) void this.history?.follow(now);
  }

  /** @param {import("./store.js").Feature} feature @param {import("./store.js").Snapshot|null} shown whose figures are shown */
  draw(feature, shown) {
    setAttribute(this.link, "href", this.context.router.link({ page: "feature", feature: this.id }));
    if (!this.changed) return;
    this.changed = false;
    const { snapshot, about } = feature;
    const health = healthOf(feature);
    if (health !== this.health) {
      this.health = health;
      this.element.dataset.health = health;
      this.healthCell.replaceChildren(healthMark(health));
    }
    setText(this.link, nameOf(feature));
    this.logs.setAttribute("aria-label", `Open the log of ${nameOf(feature)}`);
    this.logs.title = "Open the log";
    const reasons = snapshot?.reasons ?? [];
    const quiet = [nameOf(feature) === this.id ? "" : this.id, snapshot?.environment ?? "", about.owner ?? ""].filter(Boolean).join(" · ");
    const why = reasons.length > 0 ? readable(reasons[0]) + (reasons.length > 1 ? ` (+${reasons.length - 1})` : "") : "";
    const stale = snapshot?.stale ? `Stale: the store cannot be reached, figures are from ${ago(Date.now() - Date.parse(snapshot.timestamp))}` : "";
    setText(this.reason, stale || why || quiet);
    this.reason.title = reasons.map(readable).join("\n") || quiet;
    this.#drawAlerts(snapshot?.alerts?.length ?? about.health_indicators?.alerts_count ?? 0);
    this.element.classList.toggle("is-stale", Boolean(shown?.stale));
    for (const { name, show } of this.figures) show(shown?.metrics[name], shown?.statuses?.[name]);
    this.#remember(snapshot?.environment ?? about.environment ?? "");
  }

  /** @param {number} count open alerts */
  #drawAlerts(count) {
    if (count === this.alertCount) return;
    this.alertCount = count;
    this.alerts.hidden = count === 0;
    this.alerts.replaceChildren(icon("bell"), String(count), h("span", { class: "unseen" }, count === 1 ? " open alert" : " open alerts"));
    this.alerts.title = count === 1 ? "1 open alert" : `${count} open alerts`;
  }

  /** Keep the history of the environment and time that are shown. @param {string} environment */
  #remember(environment) {
    const { time, start, end } = this.context.router.route;
    const chosen = [environment, time, start, end].join(" ");
    if (chosen === this.chosen) return;
    this.chosen = chosen;
    this.range = rangeOf(this.context.router.route, BARS);
    this.history?.close();
    this.history = new History({
      api: this.context.api,
      lane: this.context.lane,
      featureId: this.id,
      environment,
      metrics: ["requests_per_minute", "error_rate"],
      range: this.range,
      changed: this.drawSpark,
      // A minute soon is a whole one. Hours are not waited for: a feature of today would have no bar in a week.
      provisional: this.range.step >= LONG,
    });
    this.follow(Date.now());
  }

  #drawSpark() {
    const { requests_per_minute: requests = [], error_rate: errors = [] } = this.history?.points ?? {};
    this.spark.replaceChildren(trafficBars(requests, errors, Date.now(), this.range));
  }
}
