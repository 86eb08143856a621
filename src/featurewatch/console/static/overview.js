// All features at a glance, those in trouble first.

import { freshMark, freshness } from "./freshness.js";
import { h, oncePerFrame, setText } from "./kit/dom.js";
import { asText, figure } from "./kit/format.js";
import { HEALTH } from "./kit/health.js";
import { icon } from "./kit/icons.js";
import { FeatureRow } from "./feature-row.js";
import { byTrouble, healthOf, nameOf } from "./store.js";
import { RangedFigures } from "./ranged.js";
import { TIMES, TimeControl, figuresRange, rangeOf, rangeText } from "./times.js";
import { welcome } from "./welcome.js";

const COLUMNS = ["Health", "Feature", "Traffic", "Req/min", "Errors", "p95", "Uptime", "Cost"];

export class Overview {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Map<string, FeatureRow>} */
    this.rows = new Map();
    this.search = h("input", { class: "input", type: "search", placeholder: "Filter features", "aria-label": "Filter features", "aria-keyshortcuts": "/", value: context.router.route.q });
    this.search.addEventListener("input", () => context.router.update({ q: this.search.value }));
    this.counts = Object.keys(HEALTH).map((health) => {
      const number = h("span", { class: "count-number" });
      const button = h(
        "button",
        { class: "count", type: "button", dataset: { health }, onclick: () => this.#toggle(health) },
        icon(health), number, h("span", { class: "count-word" }, HEALTH[health]),
      );
      return { health, number, button };
    });
    this.totals = h("p", { class: "totals" });
    this.traffic = h("span", {});
    this.problem = h("p", { class: "notice-line", role: "alert", hidden: true });
    this.mark = freshMark();
    this.control = new TimeControl(context.router);
    this.ranged = new RangedFigures({
      ask: async (query, signal) => (await context.api.get("/metrics/current", query, signal)).data,
      changed: () => this.#drawAll(),
    });
    this.list = h("ul", { class: "rows", role: "list" });
    this.noneText = h("p", {});
    this.none = h("div", { class: "none", role: "status", hidden: true }, this.noneText, h("button", { class: "button", type: "button", onclick: () => context.router.update({ q: "", health: "", env: "" }, { push: true }) }, "Show all features"));
    this.table = h(
      "section",
      { class: "panel features", "aria-label": "Features" },
      h("div", { class: "row row-head", "aria-hidden": "true" }, ...COLUMNS.map((name, index) => h("span", { class: `cell-${index}` }, index === 2 ? this.traffic : name)), h("span")),
      this.list,
      this.none,
    );
    this.body = h("div", { class: "overview-body" }, skeleton());
    this.element = h(
      "div",
      { class: "page overview" },
      h(
        "div",
        { class: "overview-head" },
        h("h1", { class: "page-title" }, "Features"),
        h("div", { class: "counts", role: "group", "aria-label": "Show only" }, ...this.counts.map(({ button }) => button)),
        h("label", { class: "search" }, icon("search"), this.search),
        h("div", { class: "overview-time" }, this.totals, this.mark.element, this.control.element),
      ),
      this.problem,
      this.body,
    );
    // A row comes and goes with the scroll position: only those in sight ask for their hour.
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.rows.get(/** @type {HTMLElement} */ (target).dataset.id ?? "")?.setInSight(isIntersecting);
    }, { rootMargin: "200px" });
    this.draw = oncePerFrame(() => this.#draw());
    this.ends = [
      context.store.subscribe((id) => {
        if (id !== null) this.rows.get(id)?.touch();
        this.draw();
      }),
      context.router.subscribe(() => this.#choose()),
      context.client.subscribe("state", () => this.draw()),
    ];
    this.timer = setInterval(() => this.#follow(), 5_000);
    this.#choose();
    this.#draw();
  }

  close() {
    clearInterval(this.timer);
    this.seen.disconnect();
    this.ranged.close();
    this.control.close();
    for (const end of this.ends) end();
    for (const row of this.rows.values()) row.close();
  }

  focusSearch() {
    this.search.focus();
  }

  /** Read the hour again, after a break. */
  refresh() {
    this.ranged.refresh();
    for (const row of this.rows.values()) row.refresh();
    this.#follow();
  }

  #follow() {
    this.ranged.follow(Date.now());
    this.draw();
    for (const row of this.rows.values()) row.follow(Date.now());
  }

  /** Take the environment and the time from the address. */
  #choose() {
    const { route } = this.context.router;
    this.ranged.choose(figuresRange(route), route.env);
    this.#drawAll();
  }

  #drawAll() {
    for (const row of this.rows.values()) row.touch();
    this.draw();
  }

  /** @param {import("./store.js").Feature} feature whose figures are shown: those of the time that was chosen, else those of the stream */
  #shown({ id, snapshot }) {
    return this.ranged.range === "" ? snapshot : (this.ranged.snapshots.get(id) ?? null);
  }

  /** @param {string} health */
  #toggle(health) {
    const { router } = this.context;
    router.update({ health: router.route.health === health ? "" : health }, { push: true });
  }

  #draw() {
    const { store, router, failure } = this.context;
    if (failure() && !store.loaded) {
      this.body.replaceChildren(h("p", { class: "none panel" }, "No feature can be shown until the bridge answers."));
      return;
    }
    if (!store.loaded) return;
    if (store.features.size === 0) {
      if (!this.body.querySelector(".welcome")) this.body.replaceChildren(welcome(this.context.caller.me));
      this.#summarise([]);
      return;
    }
    if (this.table.parentNode !== this.body) this.body.replaceChildren(this.table);
    const { q, health, env } = router.route;
    if (document.activeElement !== this.search) this.search.value = q;
    const here = [...store.features.values()].filter(({ about, snapshot }) => env === "" || (about.environments ?? []).includes(env) || snapshot?.environment === env);
    const wanted = q.trim().toLowerCase();
    const shown = here
      .filter((feature) => health === "" || healthOf(feature) === health)
      .filter((feature) => [feature.id, nameOf(feature), feature.about.owner ?? ""].some((text) => text.toLowerCase().includes(wanted)))
      .sort(byTrouble);
    this.#summarise(here);
    this.#place(shown);
    this.none.hidden = shown.length > 0;
    setText(this.noneText, here.length === 0 ? `No feature was seen in ${env}.` : "No feature matches the filter.");
  }

  /** @param {import("./store.js").Feature[]} shown in order */
  #place(shown) {
    const wanted = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      this.seen.unobserve(row.element);
      row.close();
      this.rows.delete(id);
    }
    shown.forEach((feature, index) => {
      let row = this.rows.get(feature.id);
      if (row === undefined) {
        row = new FeatureRow(this.context, feature.id);
        this.rows.set(feature.id, row);
        this.seen.observe(row.element);
      }
      row.draw(feature, this.#shown(feature));
      // Moving an element loses its focus and hover, so only those out of place are moved.
      if (this.list.children[index] !== row.element) this.list.insertBefore(row.element, this.list.children[index] ?? null);
    });
  }

  /** @param {import("./store.js").Feature[]} features */
  #summarise(features) {
    for (const { health, number, button } of this.counts) {
      const count = features.filter((feature) => healthOf(feature) === health).length;
      setText(number, String(count));
      button.classList.toggle("is-none", count === 0);
      button.setAttribute("aria-pressed", String(this.context.router.route.health === health));
    }
    const sum = (/** @type {string} */ name) =>
      features.reduce((/** @type {number|null} */ total, feature) => {
        const value = this.#shown(feature)?.metrics[name] ?? null;
        return value === null ? total : (total ?? 0) + value;
      }, null);
    const rate = asText(figure("requests_per_minute", sum("requests_per_minute"))).replace("/min", "");
    const cost = asText(figure("total_cost", sum("total_cost")));
    setText(this.totals, features.length === 0 ? "" : `${rate} requests/min · ${cost} in ${this.#time()}`);
    const shown = features.map((feature) => this.#shown(feature));
    const oldest = shown.reduce((one, other) => ((other?.timestamp ?? "") < (one?.timestamp ?? "") ? other : one), shown[0]);
    this.mark.show(freshness(oldest, this.context.client.state, this.ranged.range !== "", Date.now()));
    this.mark.element.hidden = features.length === 0;
    this.problem.hidden = this.ranged.failure === "";
    setText(this.problem, this.ranged.failure);
    const { from, to } = rangeOf(this.context.router.route);
    setText(this.traffic, from === null || to === null ? `Last ${this.ranged.range === "" ? "hour" : this.#time()}` : rangeText(from, to, new Date()));
  }

  /** What the figures cover, in words. */
  #time() {
    return this.ranged.range === "" ? this.context.window : (TIMES.find(([time]) => time === this.ranged.range)?.[1] ?? "");
  }
}

function skeleton() {
  return h(
    "div",
    { class: "panel features skeleton", role: "status", "aria-label": "Loading features" },
    ...Array.from({ length: 5 }, () => h("div", { class: "skeleton-row" }, h("span"), h("span"), h("span"))),
  );
}
