// Who follows which lines, joined into what is asked of the bridge: one filter for each feature and environment. Pure.
//
// On one connection a second subscription to a feature replaces the first. So where two parts of a page follow a feature
// by different filters, the connection carries what either wants, and each part gets what it asked for.

/**
 * @typedef {object} LineFilters
 * @property {readonly string[]} [levels] [] or none: all
 * @property {string} [source]
 * @property {string} [search] in message, source or metadata, in any case
 *
 * @typedef {object} LogMember one part of a page
 * @property {string} featureId
 * @property {string} environment "" for the feature's own
 * @property {LineFilters} filters
 * @property {(event: LogEvent) => void} hear
 *
 * @typedef {{lines?: import("./log-buffer.js").Line[], history?: boolean, opened?: boolean, gap?: Record<string, any>}} LogEvent
 *     `opened`: an event stream begins, with lines that are not marked as history
 *
 * @typedef {{levels: string, source: string, search: string}} Wire the filter as /logs and the streams take it
 */

/** One feature in one environment. */
export class LogGroup {
  /** @param {string} featureId @param {string} environment */
  constructor(featureId, environment) {
    this.featureId = featureId;
    this.environment = environment;
    /** @type {Set<LogMember>} */
    this.members = new Set();
    /** The position of the last line that came, "" for the newest lines. */
    this.after = "";
    /** @type {Wire|null} what the bridge was asked for */
    this.asked = null;
    /** When it was asked, epoch ms. */
    this.askedAt = 0;
    /** Until the bridge says that the new filter holds, lines may follow the one before. */
    this.pending = false;
    /** @type {import("./event-stream.js").EventStream|null} where the connection does not carry it */
    this.stream = null;
  }

  /** @returns {Wire} */
  get wire() {
    return joined([...this.members].map(({ filters }) => filters));
  }

  /** Hand lines to those who asked for them. @param {import("./log-buffer.js").Line[]} lines @param {boolean} history */
  hand(lines, history) {
    const { asked, pending } = this;
    for (const member of this.members) {
      const wanted = wireOf(member.filters);
      const exact = !pending && asked !== null && same(asked, wanted);
      const mine = exact ? lines : lines.filter((line) => matches(line, member.filters, pending || asked?.search !== wanted.search));
      if (mine.length > 0 || history) member.hear({ lines: mine, history });
    }
  }

  /** @param {Record<string, any>} gap */
  miss(gap) {
    for (const member of this.members) member.hear({ gap });
  }
}

/** @param {LineFilters} filters @returns {Wire} */
export function wireOf({ levels = [], source = "", search = "" }) {
  return { levels: [...levels].join(","), source, search };
}

/** @param {Wire} one @param {Wire} other */
export function same(one, other) {
  return one.levels === other.levels && one.source === other.source && one.search === other.search;
}

/** Make the narrowest filter that lets through what any of them does. @param {LineFilters[]} filters @returns {Wire} */
export function joined(filters) {
  const [first, ...others] = filters.map(wireOf);
  if (first === undefined) return wireOf({});
  if (others.every((other) => same(first, other))) return first;
  const all = [first, ...others];
  const levels = all.some((one) => one.levels === "") ? "" : [...new Set(all.flatMap((one) => one.levels.split(",")))].join(",");
  const common = (/** @type {"source"|"search"} */ name) => (others.every((other) => other[name] === first[name]) ? first[name] : "");
  return { levels, source: common("source"), search: common("search") };
}

/** Judge a line as the bridge does. @param {import("./log-buffer.js").Line} line @param {LineFilters} filters @param {boolean} [bySearch] */
export function matches(line, { levels = [], source = "", search = "" }, bySearch = true) {
  if (levels.length > 0 && !levels.includes(line.level)) return false;
  if (source !== "" && line.source !== source) return false;
  if (!bySearch || search === "") return true;
  const wanted = search.toLowerCase();
  return [line.message, line.source ?? "", line.metadata === undefined ? "" : JSON.stringify(line.metadata)].some((text) => text.toLowerCase().includes(wanted));
}
