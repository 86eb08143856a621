// What a log is filtered by, and how /logs, its export and the streams are asked for it. Pure.

export const LEVELS = ["debug", "info", "warn", "error", "fatal"];

/** @type {Record<string, number>} milliseconds */
export const SPANS = { "15m": 900_000, "1h": 3_600_000, "6h": 21_600_000, "24h": 86_400_000, "7d": 604_800_000 };

/**
 * @typedef {object} Filters
 * @property {string[]} levels  [] for all
 * @property {string} source    "" for all
 * @property {string} search    in message, source or metadata, in any case
 * @property {string} range     "" for all time, a key of SPANS, or "custom"
 * @property {string} from      ISO 8601, with range "custom" @property {string} to
 * @property {boolean} live     whether lines are shown as they come
 */

/** @type {Filters} */
export const NO_FILTERS = { levels: [], source: "", search: "", range: "", from: "", to: "", live: true };

/** Make the parameters that /logs and its export understand. @param {Filters} filters @param {number} now epoch ms */
export function logQuery({ levels, source, search, range, from, to }, now) {
  const span = SPANS[range];
  return {
    levels: levels.join(","),
    source,
    search,
    start_time: range === "custom" ? from : span === undefined ? "" : new Date(now - span).toISOString(),
    end_time: range === "custom" ? to : "",
  };
}

/** Whether lines that arrive now can belong to the range. @param {Pick<Filters, "range"|"to">} filters */
export function canBeLive({ range, to }) {
  return range !== "custom" || to === "";
}

/** Whether anything is left out. @param {Filters} filters */
export function isFiltered({ levels, source, search, range }) {
  return levels.length > 0 || source !== "" || search !== "" || range !== "";
}
