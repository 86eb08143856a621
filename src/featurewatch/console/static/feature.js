// One feature: its figures, its last hour, what it cost and what happened.

import { Later } from "./alerts-later.js";
import { Chart, Cursor } from "./chart.js";
import { Costs } from "./costs.js";
import { h, oncePerFrame, setAttribute, setText } from "./kit/dom.js";
import { Events } from "./events.js";
import { tile } from "./kit/figures.js";
import { ago, moment, readable } from "./kit/format.js";
import { healthMark } from "./kit/health.js";
import { HOUR, History, MINUTE } from "./history.js";
import { icon } from "./kit/icons.js";
import { RecentErrors } from "./recent-errors.js";
import { healthOf, nameOf } from "./store.js";

/**
 * @typedef {object} Part a section of the page; `Section` is one
 * @property {HTMLElement} element
 * @property {(environment: string) => void} show   begin, or begin anew with another environment
 * @property {() => void} changed                   something was told about the feature: read again
 * @property {() => void} close
 */

/**
 * The sections below the charts, in order: one line adds one. wide: across both columns, before the others.
 * @type {{place: "wide"|"main"|"side", make: (context: import("./main.js").Context, id: string) => Part}[]}
 */
export const sections = [
  { place: "wide", make: (context, id) => new Later(() => import("./alerts-feature.js"), ({ FeatureAlerts }) => new FeatureAlerts(context, id)) },
  { place: "main", make: (context, id) => new Costs(context, id) },
  { place: "main", make: (context, id) => new RecentErrors(context, id) },
  { place: "side", make: (context, id) => new Events(context, id) },
];

const LARGE = ["error_rate", "response_time_p95", "requests_per_minute", "uptime", "total_cost"];
/** Messages after which the sections read again. */
const TOLD = ["status_change", "test_result", "alert_triggered", "alert_updated", "alert_resolved"];
const SMALL = ["success_rate", "response_time", "response_time_p50", "response_time_p99", "time_to_first_token_p95", "total_requests", "cost_per_request", "tokens_per_request"];

/** @type {{title: string, note?: string, bars?: boolean, series: import("./chart.js").Series[]}[]} */
const CHARTS = [
  { title: "Requests", note: "per minute", bars: true, series: [{ metric: "requests_per_minute", label: "Requests", tone: "main" }] },
  { title: "Error rate", series: [{ metric: "error_rate", label: "Error rate", tone: "error" }] },
  {
    title: "Response time",
    series: [
      { metric: "response_time_p50", label: "p50", tone: "low" },
      { metric: "response_time_p95", label: "p95", tone: "main" },
      { metric: "response_time_p99", label: "p99", tone: "high" },
    ],
  },
  { title: "Cost", note: "per minute", bars: true, series: [{ metric: "total_cost", label: "Cost", tone: "cost" }] },
];

/**
 * Choose how much of the hour is drawn: a feature that has run for five minutes would be a sliver in it.
 * @param {Record<string, import("./chart.js").Points>} points @param {number} now @returns {number} ms
 */
function spanOf(points, now) {
  const known = Object.values(points).flatMap((line) => line.find(([, value]) => value !== null && value > 0)?.[0] ?? []);
  const age = now - Math.min(now, ...known);
  return known.length === 0 ? HOUR : ([HOUR / 4, HOUR / 2].find((span) => age < span * 0.9) ?? HOUR);
}

export class FeaturePage {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.environment = "";
    /** @type {History|null} */
    this.history = null;
    this.title = h("h1", { class: "page-title" }, id);
    this.health = h("span", { class: "feature-health" });
    this.about = h("p", { class: "feature-about" });
    this.updated = h("p", { class: "updated" });
    this.reasons = h("ul", { class: "reasons panel", hidden: true });
    this.shownHealth = "";
    this.tiles = new Map([...LARGE, ...SMALL].map((name) => [name, tile(name, { large: LARGE.includes(name), note: name === "uptime" ? "24 h" : LARGE.includes(name) ? context.window : "" })]));
    this.back = h("a", { class: "back" }, icon("back"), "Features");
    this.settings = h("a", { class: "button" }, icon("settings"), "Settings");
    const cursor = new Cursor();
    this.charts = CHARTS.map((options) => new Chart({ ...options, cursor, step: MINUTE }));
    this.parts = sections.map(({ place, make }) => ({ place, part: make(context, id) }));
    const placed = (/** @type {string} */ wanted) => this.parts.filter(({ place }) => place === wanted).map(({ part }) => part.element);
    const { grafana } = context.config;
    this.element = h(
      "div",
      { class: "page feature" },
      h(
        "header",
        { class: "feature-head" },
        this.back,
        h("div", { class: "feature-title" }, this.title, this.health),
        h(
          "div",
          { class: "feature-actions" },
          this.updated,
          grafana && h("a", { class: "button", href: grafana, target: "_blank", rel: "noreferrer" }, icon("external"), "Grafana"),
          this.settings,
          h("button", { class: "button button-main", type: "button", onclick: () => context.openLogs(id) }, icon("logs"), "Logs"),
        ),
        this.about,
      ),
      this.reasons,
      h("dl", { class: "tiles tiles-large" }, ...LARGE.map((name) => this.tiles.get(name)?.element)),
      h("dl", { class: "tiles tiles-small panel" }, ...SMALL.map((name) => this.tiles.get(name)?.element)),
      h("div", { class: "charts" }, ...this.charts.map((chart) => chart.element)),
      ...placed("wide"),
      h("div", { class: "lower" }, h("div", { class: "lower-column" }, ...placed("main")), h("div", { class: "lower-column" }, ...placed("side"))),
    );
    this.draw = oncePerFrame(() => this.#draw());
    this.ends = [
      context.store.subscribe((changed) => (changed === id || changed === null) && this.draw()),
      context.router.subscribe(() => this.draw()),
      ...TOLD.map((type) => context.client.subscribe(type, (message) => message.featureId === id && this.#tellParts())),
    ];
    this.timer = setInterval(() => this.#tick(), 1_000);
    this.#draw();
  }

  close() {
    clearInterval(this.timer);
    for (const end of this.ends) end();
    for (const chart of this.charts) chart.close();
    for (const { part } of this.parts) part.close();
    this.history?.close();
  }

  /** Read again what a break may have hidden. */
  refresh() {
    this.history?.refresh();
    this.#tellParts();
  }

  #tellParts() {
    for (const { part } of this.parts) part.changed();
  }

  #tick() {
    void this.history?.follow(Date.now());
    this.#drawCharts();
    this.#drawUpdated();
  }

  #draw() {
    const { store, router } = this.context;
    this.back.setAttribute("href", router.link({ page: "overview" }));
    this.settings.setAttribute("href", router.link({ page: "settings", feature: this.id }));
    const feature = store.features.get(this.id);
    if (feature === undefined) {
      if (store.loaded) this.#missing();
      return;
    }
    const { about, snapshot } = feature;
    setText(this.title, nameOf(feature));
    document.title = `${nameOf(feature)} · featurewatch`;
    const health = healthOf(feature);
    if (health !== this.shownHealth) this.health.replaceChildren(healthMark(health));
    this.shownHealth = health;
    const facts = [this.id, snapshot?.environment, about.owner && `owned by ${about.owner}`, about.version && `version ${about.version}`, about.description];
    setText(this.about, facts.filter(Boolean).join(" · "));
    this.#drawReasons(health, snapshot);
    for (const [name, { show }] of this.tiles) show(snapshot?.metrics[name], snapshot?.statuses?.[name]);
    this.element.classList.toggle("is-stale", Boolean(snapshot?.stale));
    this.#drawUpdated();
    this.#follow(snapshot?.environment ?? about.environment ?? "");
  }

  /** @param {string} health @param {import("./store.js").Snapshot|null} snapshot */
  #drawReasons(health, snapshot) {
    const alerts = (snapshot?.alerts ?? []).map(({ message }) => message);
    const texts = [...new Set([...alerts, ...(snapshot?.reasons ?? [])])].map(readable);
    if (snapshot?.stale) texts.unshift("The store cannot be reached: these are the last figures known");
    this.reasons.hidden = texts.length === 0;
    this.reasons.dataset.health = health;
    const shown = [...this.reasons.children].map((item) => item.textContent);
    if (shown.join("\n") === texts.join("\n")) return;
    this.reasons.replaceChildren(...texts.map((text) => h("li", {}, icon(health === "healthy" ? "unknown" : health), h("span", {}, text))));
  }

  #drawUpdated() {
    const snapshot = this.context.store.features.get(this.id)?.snapshot;
    if (!snapshot) return;
    const at = new Date(snapshot.timestamp);
    setText(this.updated, `${snapshot.stale ? "Stale · " : ""}Updated ${ago(Date.now() - at.getTime())}`);
    setAttribute(this.updated, "title", `${moment(at, new Date())} (${snapshot.timestamp})`);
  }

  /** Show the parts that belong to an environment. @param {string} environment */
  #follow(environment) {
    if (this.history !== null && environment === this.environment) return;
    this.environment = environment;
    this.history?.close();
    this.history = new History({
      api: this.context.api,
      lane: this.context.lane,
      featureId: this.id,
      environment,
      metrics: CHARTS.flatMap(({ series }) => series.map(({ metric }) => metric)),
      changed: () => this.#drawCharts(),
      provisional: true,
    });
    void this.history.follow(Date.now());
    for (const { part } of this.parts) part.show(environment);
  }

  #drawCharts() {
    if (this.history === null || document.hidden) return;
    const now = Date.now();
    for (const chart of this.charts) chart.update(this.history.points, now - spanOf(this.history.points, now), now);
  }

  #missing() {
    const back = h("a", { class: "button", href: this.context.router.link({ page: "overview" }) }, "All features");
    this.element.replaceChildren(h("section", { class: "welcome panel" }, h("h1", {}, "No such feature"), h("p", {}, `Nothing was seen of a feature “${this.id}”, or you may not see it.`), back));
  }
}
