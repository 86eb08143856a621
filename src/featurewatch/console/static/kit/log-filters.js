// The controls that choose which lines are shown. What is chosen is held elsewhere; this shows and changes it.

import { debounce, h } from "./dom.js";
import { icon } from "./icons.js";
import { LEVELS, SPANS, canBeLive } from "./log-query.js";

const RANGES = [["", "All time"], ["15m", "Last 15 min"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["custom", "From … to …"]];

/** @typedef {import("./log-query.js").Filters} Filters */

export class LogFilters {
  /** @param {(part: Partial<Filters> & {environment?: string}) => void} change */
  constructor(change) {
    this.change = change;
    const searched = debounce(() => change({ search: this.search.value }), 250);
    const sourced = debounce(() => change({ source: this.source.value.trim() }), 400);
    this.search = h("input", { class: "input", part: "search", type: "search", placeholder: "Search messages, sources, metadata", "aria-label": "Search the log", maxlength: "1000", oninput: searched });
    this.levels = LEVELS.map((level) => h("button", { class: "level", part: "level", type: "button", "aria-pressed": "false", dataset: { level }, onclick: () => this.#toggle(level) }, level));
    this.sources = h("datalist", { id: "log-sources" });
    this.source = h("input", { class: "input log-source-filter", type: "search", list: "log-sources", placeholder: "All sources", "aria-label": "Source", maxlength: "200", oninput: sourced });
    this.environment = h("select", { class: "input", "aria-label": "Environment", hidden: true, onchange: () => change({ environment: this.environment.value }) });
    this.range = h("select", { class: "input", "aria-label": "Time range", onchange: () => change({ range: this.range.value }) }, ...RANGES.map(([value, text]) => h("option", { value }, text)));
    this.from = h("input", { class: "input", type: "datetime-local", step: "1", "aria-label": "From", onchange: () => change({ from: instant(this.from.value) }) });
    this.to = h("input", { class: "input", type: "datetime-local", step: "1", "aria-label": "To", onchange: () => change({ to: instant(this.to.value) }) });
    this.custom = h("div", { class: "log-custom", hidden: true }, this.from, h("span", { "aria-hidden": "true" }, "to"), this.to);
    this.live = h("button", { class: "switch", part: "live", type: "button", role: "switch", "aria-checked": "true", onclick: () => change({ live: this.live.getAttribute("aria-checked") !== "true" }) }, h("span", { class: "switch-knob" }), "Live");
    this.element = h(
      "div",
      { class: "log-filters", part: "filters" },
      h("label", { class: "search" }, icon("search"), this.search),
      h("div", { class: "levels", role: "group", "aria-label": "Levels; none chosen shows all" }, ...this.levels),
      h("div", { class: "log-choices" }, this.range, this.environment, this.source, this.sources),
      this.custom,
      this.live,
    );
  }

  /** @param {Filters} filters @param {string} environment */
  show(filters, environment) {
    const active = /** @type {Document|ShadowRoot} */ (this.element.getRootNode()).activeElement;
    if (active !== this.search || filters.search === "") this.search.value = filters.search;
    if (active !== this.source || filters.source === "") this.source.value = filters.source;
    for (const button of this.levels) button.setAttribute("aria-pressed", String(filters.levels.includes(button.dataset.level ?? "")));
    this.shown = filters;
    this.range.value = filters.range in SPANS || filters.range === "custom" ? filters.range : "";
    this.custom.hidden = filters.range !== "custom";
    if (active !== this.from) this.from.value = local(filters.from);
    if (active !== this.to) this.to.value = local(filters.to);
    this.chosen = environment;
    this.environment.value = environment;
    this.live.setAttribute("aria-checked", String(filters.live && canBeLive(filters)));
    /** @type {HTMLButtonElement} */ (/** @type {unknown} */ (this.live)).disabled = !canBeLive(filters);
  }

  /** Offer the environments that the feature was seen in. @param {string[]} names */
  offerEnvironments(names) {
    const chosen = this.chosen ?? "";
    const all = [...new Set([...names, chosen])].filter(Boolean).sort();
    this.environment.hidden = all.length < 2 && chosen === "";
    this.environment.replaceChildren(h("option", { value: "" }, "Automatic environment"), ...all.map((name) => h("option", { value: name }, name)));
    this.environment.value = chosen;
  }

  /** Offer the sources of the lines that are held. @param {Iterable<string>} names */
  offerSources(names) {
    this.sources.replaceChildren(...[...names].sort().map((name) => h("option", { value: name })));
  }

  /** @param {string} level */
  #toggle(level) {
    const chosen = this.shown?.levels ?? [];
    const levels = chosen.includes(level) ? chosen.filter((one) => one !== level) : LEVELS.filter((one) => one === level || chosen.includes(one));
    this.change({ levels });
  }
}

/** @param {string} value of a datetime-local input @returns {string} ISO 8601 */
function instant(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** @param {string} iso @returns {string} what a datetime-local input shows */
function local(iso) {
  const date = new Date(iso);
  if (iso === "" || Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
