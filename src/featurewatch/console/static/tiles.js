// A feature's figures as tiles, each with what it covers and how fresh it is.

import { FRESH, freshMark, freshness } from "./freshness.js";
import { h, setAttribute, setText } from "./kit/dom.js";
import { figureElement } from "./kit/figures.js";
import { FIGURES, ago, moment } from "./kit/format.js";
import { RangedFigures } from "./ranged.js";
import { TIMES, figuresRange } from "./times.js";

const LARGE = ["error_rate", "response_time_p95", "requests_per_minute", "uptime", "total_cost"];
const SMALL = ["success_rate", "response_time", "response_time_p50", "response_time_p99", "time_to_first_token_p95", "total_requests", "cost_per_request", "tokens_per_request"];

/** @param {string} name @param {boolean} large */
function tile(name, large) {
  const { element, show } = figureElement(name, { marked: true });
  const { label, short, help } = FIGURES[name];
  const note = h("span", { class: "tile-note" });
  const mark = freshMark({ quiet: true });
  return {
    name,
    large,
    note,
    mark,
    show,
    element: h(
      "div",
      { class: large ? "tile tile-large" : "tile", title: `${label}: ${help}`, dataset: { metric: name } },
      h("dt", { class: "tile-label" }, h("span", { class: "tile-name" }, large ? label : short), h("span", { class: "tile-side" }, large && note, mark.element)),
      h("dd", {}, element),
    ),
  };
}

export class Tiles {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.tiles = [...LARGE.map((name) => tile(name, true)), ...SMALL.map((name) => tile(name, false))];
    const shown = (/** @type {boolean} */ large) => this.tiles.filter((one) => one.large === large).map(({ element }) => element);
    this.mark = freshMark();
    this.when = h("span", {});
    /** When the figures are from; stands in the page's head. */
    this.updated = h("p", { class: "updated" }, this.mark.element, " · ", this.when);
    this.element = h("div", { class: "tiles-part" }, h("dl", { class: "tiles tiles-large" }, ...shown(true)), h("dl", { class: "tiles tiles-small panel" }, ...shown(false)));
    this.ranged = new RangedFigures({
      ask: async (query, signal) => [(await context.api.get(`/features/${encodeURIComponent(id)}/metrics/current`, query, signal)).data],
      changed: () => this.draw(),
    });
    this.ends = [context.router.subscribe(() => this.#choose()), context.client.subscribe("state", () => this.draw())];
    this.environment = "";
  }

  close() {
    this.ranged.close();
    for (const end of this.ends) end();
  }

  /** @param {string} environment */
  show(environment) {
    this.environment = environment;
    this.#choose();
  }

  refresh() {
    this.ranged.refresh();
  }

  tick() {
    this.ranged.follow(Date.now());
    this.#drawUpdated();
  }

  #choose() {
    this.ranged.choose(figuresRange(this.context.router.route), this.environment);
    this.draw();
  }

  /** What is shown: the figures of the range that was chosen, else those of the stream. */
  get #shown() {
    const asked = this.ranged.range !== "";
    const snapshot = asked ? this.ranged.snapshots.get(this.id) : this.context.store.features.get(this.id)?.snapshot;
    return { asked, snapshot, fresh: freshness(snapshot, this.context.client.state, asked, Date.now()) };
  }

  draw() {
    const { asked, snapshot } = this.#shown;
    const over = asked ? (TIMES.find(([time]) => time === this.ranged.range)?.[1] ?? "") : this.context.window;
    for (const { name, note, show } of this.tiles) {
      show(snapshot?.metrics[name], snapshot?.statuses?.[name]);
      setText(note, name === "uptime" && !asked ? "24 h" : over);
    }
    this.#drawUpdated();
  }

  #drawUpdated() {
    const { asked, snapshot, fresh } = this.#shown;
    this.mark.show(fresh);
    for (const { mark } of this.tiles) mark.show(fresh);
    this.element.classList.toggle("is-stale", fresh === "stale");
    this.updated.classList.toggle("is-stale", fresh === "stale");
    this.updated.hidden = !snapshot && !asked;
    if (!snapshot) {
      setText(this.when, this.ranged.failure !== "" ? this.ranged.failure : asked ? "Loading…" : "");
      return;
    }
    const at = new Date(snapshot.timestamp);
    setText(this.when, `Updated ${ago(Date.now() - at.getTime())}`);
    setAttribute(this.updated, "title", `${FRESH[fresh].help}. ${moment(at, new Date())} (${snapshot.timestamp})`);
  }
}
