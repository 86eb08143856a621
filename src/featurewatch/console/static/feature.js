// One feature: its figures, its time, what it cost and what happened.

import { Later } from "./later.js";
import { Costs } from "./costs.js";
import { Events } from "./events.js";
import { Charts } from "./feature-charts.js";
import { grafanaLinks } from "./grafana.js";
import { h, oncePerFrame, setAttribute, setText } from "./kit/dom.js";
import { readable } from "./kit/format.js";
import { healthMark } from "./kit/health.js";
import { icon } from "./kit/icons.js";
import { plain } from "./kit/plain-text.js";
import { RecentErrors } from "./recent-errors.js";
import { healthOf, nameOf } from "./store.js";
import { TestResults } from "./test-results.js";
import { Tiles } from "./tiles.js";

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
  { place: "side", make: (context, id) => new TestResults(context, id) },
];

/** Messages after which the sections read again. */
const TOLD = ["status_change", "test_result", "alert_triggered", "alert_updated", "alert_resolved"];

export class FeaturePage {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.environment = "";
    this.followed = false;
    this.title = h("h1", { class: "page-title" }, id);
    this.health = h("span", { class: "feature-health" });
    this.about = h("p", { class: "feature-about" });
    this.reasons = h("ul", { class: "reasons panel", hidden: true, "aria-label": "Why" });
    this.shownHealth = "";
    this.tiles = new Tiles(context, id);
    this.charts = new Charts(context, id);
    this.parts = sections.map(({ place, make }) => ({ place, part: make(context, id) }));
    this.back = h("a", { class: "back" }, icon("back"), "All features");
    this.settings = h("a", { class: "button" }, icon("settings"), "Settings");
    this.grafana = context.config.grafana === "" ? null : h("a", { class: "button", target: "_blank", rel: "noreferrer", title: "The same feature and time, in a new tab" }, icon("external"), "Open in Grafana");
    this.element = h("div", { class: "page feature" }, this.#head(), this.reasons, this.tiles.element, this.charts.element, ...this.#placed("wide"), this.#lower());
    this.draw = oncePerFrame(() => this.#draw());
    this.ends = [
      context.store.subscribe((changed) => (changed === id || changed === null) && this.draw()),
      context.router.subscribe((route, before) => {
        this.draw();
        if (route.time !== before.time) for (const { part } of this.parts) part.changed();
      }),
      ...TOLD.map((type) => context.client.subscribe(type, (message) => message.featureId === id && this.#tellParts())),
    ];
    this.timer = setInterval(() => this.#tick(), 1_000);
    this.#draw();
  }

  close() {
    clearInterval(this.timer);
    for (const end of this.ends) end();
    for (const part of [this.tiles, this.charts, ...this.parts.map(({ part }) => part)]) part.close();
  }

  /** Read again what a break may have hidden. */
  refresh() {
    this.tiles.refresh();
    this.charts.refresh();
    for (const { part } of this.parts) part.changed();
  }

  #head() {
    const logs = h("button", { class: "button button-main", type: "button", onclick: () => this.context.openLogs(this.id) }, icon("logs"), "Logs");
    return h(
      "header",
      { class: "feature-head" },
      this.back,
      h("div", { class: "feature-title" }, this.title, this.health),
      h("div", { class: "feature-actions" }, this.tiles.updated, this.grafana, this.settings, logs),
      this.about,
    );
  }

  #lower() {
    return h("div", { class: "lower" }, h("div", { class: "lower-column" }, ...this.#placed("main")), h("div", { class: "lower-column" }, ...this.#placed("side")));
  }

  /** @param {string} wanted */
  #placed(wanted) {
    return this.parts.filter(({ place }) => place === wanted).map(({ part }) => part.element);
  }

  #tellParts() {
    this.charts.changed();
    for (const { part } of this.parts) part.changed();
  }

  #tick() {
    this.tiles.tick();
    this.charts.tick();
    if (this.grafana !== null) setAttribute(this.grafana, "href", this.#grafanaLink());
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
    setText(this.about, plain(facts.filter(Boolean).join(" · ")));
    this.#drawReasons(health, snapshot);
    this.tiles.draw();
    this.#follow(snapshot?.environment ?? about.environment ?? "");
    if (this.grafana !== null) setAttribute(this.grafana, "href", this.#grafanaLink());
  }

  #grafanaLink() {
    return grafanaLinks(this.context.config.grafana, this.id, this.environment, this.context.router.route).feature;
  }

  /** @param {string} health @param {import("./store.js").Snapshot|null} snapshot */
  #drawReasons(health, snapshot) {
    const alerts = (snapshot?.alerts ?? []).map(({ message }) => message);
    const texts = [...new Set([...alerts, ...(snapshot?.reasons ?? [])])].map(readable);
    const elsewhere = this.#elsewhere();
    if (elsewhere !== "") texts.unshift(elsewhere);
    if (snapshot?.stale) texts.unshift("The store cannot be reached: these are the last figures known");
    this.reasons.hidden = texts.length === 0;
    this.reasons.dataset.health = health;
    const shown = [...this.reasons.children].map((item) => item.textContent);
    if (shown.join("\n") === texts.join("\n")) return;
    this.reasons.replaceChildren(...texts.map((text) => h("li", {}, icon(health === "healthy" ? "unknown" : health), h("span", {}, text))));
  }

  /** Say that the feature was not seen in the environment that the address names; "" where it was. */
  #elsewhere() {
    const { env } = this.context.router.route;
    const feature = this.context.store.features.get(this.id);
    const known = feature?.about.environments ?? [];
    if (env === "" || known.length === 0 || known.includes(env) || feature?.snapshot?.environment === env) return "";
    return `Nothing was seen of it in “${env}”. It was seen in ${known.join(", ")}: choose that above.`;
  }

  /** Show the parts that belong to an environment. @param {string} environment */
  #follow(environment) {
    if (this.followed && environment === this.environment) return;
    this.followed = true;
    this.environment = environment;
    for (const part of [this.tiles, this.charts, ...this.parts.map(({ part }) => part)]) part.show(environment);
  }

  #missing() {
    const back = h("a", { class: "button", href: this.context.router.link({ page: "overview" }) }, "All features");
    this.element.replaceChildren(h("section", { class: "welcome panel" }, h("h1", {}, "No such feature"), h("p", {}, `Nothing was seen of a feature “${this.id}”, or you may not see it.`), back));
  }
}
