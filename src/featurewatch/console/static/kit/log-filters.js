// What the log is filtered by: search, levels, time, live. The address holds it; this shows and changes it.

import { debounce, h } from "./dom.js";
import { icon } from "./icons.js";

export const LEVELS = ["debug", "info", "warn", "error", "fatal"];

/** @type {Record<string, number>} milliseconds */
const SPANS = { "15m": 900_000, "1h": 3_600_000, "6h": 21_600_000, "24h": 86_400_000, "7d": 604_800_000 };
const RANGES = [["", "All time"], ["15m", "Last 15 min"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["custom", "From … to …"]];

/** @typedef {Pick<import("../route.js").Route, "levels"|"search"|"range"|"from"|"to"|"live">} Filters */

/** @type {Filters} */
export const NO_FILTERS = { levels: [], search: "", range: "", from: "", to: "", live: true };

/** Make the parameters that /logs, its export and the streams understand. @param {Filters} filters @param {number} now epoch ms */
export function logQuery({ levels, search, range, from, to }, now) {
  const span = SPANS[range];
  return {
    levels: levels.join(","),
    search,
    start_time: range === "custom" ? from : span === undefined ? "" : new Date(now - span).toISOString(),
    end_time: range === "custom" ? to : "",
  };
}

/** Whether lines that arrive now can belong to the range. @param {Filters} filters */
export function canBeLive({ range, to }) {
  return range !== "custom" || to === "";
}

export class LogFilters {
  /** @param {(part: Partial<Filters>) => void} change */
  constructor(change) {
    this.change = change;
    const searched = debounce(() => change({ search: this.search.value }), 250);
    this.search = h("input", { class: "input", type: "search", placeholder: "Search messages, sources, metadata", "aria-label": "Search the log", maxlength: "1000", oninput: searched });
    this.levels = LEVELS.map((level) => h("button", { class: "level", type: "button", "aria-pressed": "false", dataset: { level }, onclick: () => this.#toggle(level) }, level));
    this.range = h("select", { class: "input", "aria-label": "Time range", onchange: () => change({ range: this.range.value }) }, ...RANGES.map(([value, text]) => h("option", { value }, text)));
    this.from = h("input", { class: "input", type: "datetime-local", step: "1", "aria-label": "From", onchange: () => change({ from: instant(this.from.value) }) });
    this.to = h("input", { class: "input", type: "datetime-local", step: "1", "aria-label": "To", onchange: () => change({ to: instant(this.to.value) }) });
    this.custom = h("div", { class: "log-custom", hidden: true }, this.from, h("span", { "aria-hidden": "true" }, "to"), this.to);
    this.live = h("button", { class: "switch", type: "button", role: "switch", "aria-checked": "true", onclick: () => change({ live: this.live.getAttribute("aria-checked") !== "true" }) }, h("span", { class: "switch-knob" }), "Live");
    this.element = h(
      "div",
      { class: "log-filters" },
      h("label", { class: "search" }, icon("search"), this.search),
      h("div", { class: "levels", role: "group", "aria-label": "Levels; none chosen shows all" }, ...this.levels),
      this.range,
      this.custom,
      this.live,
    );
  }

  /** @param {Filters} filters */
  show(filters) {
    if (document.activeElement !== this.search || filters.search === "") this.search.value = filters.search;
    for (const button of this.levels) button.setAttribute("aria-pressed", String(filters.levels.includes(button.dataset.level ?? "")));
    this.shown = filters;
    this.range.value = filters.range in SPANS || filters.range === "custom" ? filters.range : "";
    this.custom.hidden = filters.range !== "custom";
    if (document.activeElement !== this.from) this.from.value = local(filters.from);
    if (document.activeElement !== this.to) this.to.value = local(filters.to);
    this.live.setAttribute("aria-checked", String(filters.live && canBeLive(filters)));
    /** @type {HTMLButtonElement} */ (/** @type {unknown} */ (this.live)).disabled = !canBeLive(filters);
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
