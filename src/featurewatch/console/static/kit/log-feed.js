// A feature's lines as a part of the page holds them: those that were, those that come, in one order, each once.

import { LogBuffer } from "./log-buffer.js";
import { canBeLive, logQuery } from "./log-query.js";
import { oncePerFrame } from "./frame.js";

const PAGE = 500;
/** What /logs answers at most. */
const MOST = 5000;
/** Lines on either side of the one that is looked for. */
const AROUND = 200;
/** How long (ms) nothing is asked after a failure: each new line draws again, which would ask again. */
const PAUSE = 5_000;
const NUMBER = new Intl.NumberFormat();

/**
 * @typedef {object} View what is shown
 * @property {string} featureId @property {string} environment "" for the feature's own
 * @property {import("./log-query.js").Filters} filters
 * @property {string} line the line around which is shown, "" for the newest
 *
 * @typedef {object} Change
 * @property {"reset"|"rows"|"status"} kind
 * @property {number} [added] how many lines came live
 * @property {number} [before] how many rows came before the one that stood at `at`; negative: how many of the first went
 * @property {number} [at]
 * @property {string} [place] the line to show in the middle
 */

export class LogFeed {
  /** @param {{client: import("./client.js").LiveClient, changed: (change: Change) => void, most?: number}} parts */
  constructor({ client, changed, most }) {
    this.client = client;
    this.changed = changed;
    this.buffer = new LogBuffer(most);
    /** @type {View|null} */
    this.view = null;
    /** Whether the reader is at the end: else lines are not taken away above them. */
    this.atEnd = true;
    this.loading = false;
    this.failure = "";
    this.trouble = "";
    this.position = "";
    this.patience = 0;
    /** @type {{cursor: string, end: string}|null} where older lines begin, null where there are none */
    this.older = null;
    /** @type {{cursor: string, start: string}|null} where newer lines begin, while a place in the past is shown */
    this.newer = null;
    /** @type {import("./log-lines.js").Following|null} */
    this.following = null;
    /** @type {import("./log-buffer.js").Line[]} */
    this.arrived = [];
    /** @type {"open"|"closed"|import("./log-buffer.js").Line[]} whether the first lines that came live have met those that were fetched */
    this.seam = "closed";
    /** The start of the range that was fetched, ISO 8601, "" for none. */
    this.start = "";
    this.aborter = new AbortController();
    this.flush = oncePerFrame(() => this.#flush());
  }

  get rows() {
    return this.buffer.rows;
  }

  /** Show a view; the one that is held already goes on where it was. @param {View} view */
  show(view) {
    const { view: before } = this;
    this.view = view;
    const held = before !== null && sameLines(before, view);
    if (held && (this.following !== null || this.position !== "" || !this.#live)) this.#follow();
    else void this.reload();
  }

  /** Let go of the connection; the lines and the place stay. */
  pause() {
    if (this.following !== null) this.position = this.following.close();
    this.following = null;
  }

  /** Let go of everything. */
  close() {
    this.aborter.abort();
    this.pause();
    this.view = null;
    this.position = "";
    this.arrived = [];
    this.buffer.clear();
  }

  async reload() {
    const view = /** @type {View} */ (this.view);
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    this.pause();
    this.buffer.clear();
    this.arrived = [];
    this.position = "";
    this.older = this.newer = null;
    this.failure = this.trouble = "";
    this.loading = true;
    this.start = String(this.query().start_time ?? "");
    this.changed({ kind: "reset" });
    // Followed first, fetched then, joined by id: no line falls between what was and what comes.
    this.#follow();
    try {
      if (view.line === "") await this.#loadNewest(aborter.signal);
      else await this.#loadAround(view.line, aborter.signal);
    } catch (error) {
      if (!aborter.signal.aborted) this.failure = /** @type {Error} */ (error).message;
    }
    if (aborter.signal.aborted) return;
    this.loading = false;
    this.changed({ kind: "rows", place: view.line });
    this.#flush();
  }

  /** The parameters of /logs for what is shown; a place in the past is shown with all its neighbours. */
  query() {
    const { featureId, environment, filters, line } = /** @type {View} */ (this.view);
    return { feature_id: featureId, environment, ...(line === "" ? logQuery(filters, Date.now()) : {}) };
  }

  async loadOlder() {
    if (this.loading || this.older === null || Date.now() < this.patience) return;
    const { cursor, end } = this.older;
    await this.#page({ limit: PAGE, cursor, ...(end === "" ? {} : { end_time: end }) }, "Older", (logs, next) => {
      this.older = next ? { cursor: next, end } : null;
      return { before: this.buffer.prepend(logs) };
    });
  }

  async loadNewer() {
    if (this.loading || this.newer === null || Date.now() < this.patience) return;
    const { cursor, start } = this.newer;
    await this.#page({ limit: PAGE, cursor, start_time: start, direction: "forward" }, "Newer", (logs, next) => {
      this.newer = next ? { cursor: next, start } : null;
      this.buffer.append(logs);
      return {};
    });
  }

  /** Load the lines that a gap misses, in its place. @param {import("./log-buffer.js").Gap} gap */
  async fill({ id, from, to }) {
    const { signal } = this.aborter;
    const query = { ...this.query(), start_time: from, end_time: new Date(Date.parse(to ?? "") + 1).toISOString(), direction: "forward", limit: MOST };
    /** @type {import("./log-buffer.js").Line[]} */
    const lines = [];
    try {
      for (let cursor = ""; ; ) {
        const page = await this.client.api.get("/logs", { ...query, cursor }, signal);
        lines.push(...page.logs);
        cursor = page.next_cursor ?? "";
        if (cursor === "" || lines.length >= this.buffer.most) break;
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(`The lines could not be loaded: ${/** @type {Error} */ (error).message}`);
      return;
    }
    const filled = this.buffer.fill(id, lines);
    if (filled !== null) this.changed({ kind: "rows", before: filled.added, at: filled.at });
  }

  get #live() {
    const { filters, line } = /** @type {View} */ (this.view);
    return filters.live && line === "" && canBeLive(filters);
  }

  #follow() {
    const { featureId, environment, filters } = /** @type {View} */ (this.view);
    if (!this.#live) {
      this.pause();
    } else if (this.following === null) {
      const { levels, source, search } = filters;
      const member = { featureId, environment, filters: { levels, source, search }, hear: (/** @type {any} */ event) => this.#hear(event) };
      this.seam = this.position === "" ? "open" : "closed";
      this.following = this.client.followLogs(member, this.position);
    }
    this.changed({ kind: "status" });
  }

  /** @param {AbortSignal} signal */
  async #loadNewest(signal) {
    const { logs, next_cursor: cursor } = await this.client.api.get("/logs", { ...this.query(), limit: PAGE }, signal);
    this.buffer.prepend(logs);
    this.older = cursor ? { cursor, end: "" } : null;
  }

  /** @param {string} line @param {AbortSignal} signal */
  async #loadAround(line, signal) {
    const { logs } = await this.client.api.get(`/logs/${encodeURIComponent(line)}`, { around: AROUND }, signal);
    this.buffer.prepend(logs);
    this.older = { cursor: "", end: justAfter(this.buffer.oldest()) };
    this.newer = { cursor: "", start: logs.at(-1).timestamp };
  }

  /** @param {Record<string, unknown>} part @param {string} which @param {(logs: import("./log-buffer.js").Line[], next: string|null) => Partial<Change>} take */
  async #page(part, which, take) {
    const { signal } = this.aborter;
    this.loading = true;
    this.changed({ kind: "status" });
    try {
      const { logs, next_cursor: next } = await this.client.api.get("/logs", { ...this.query(), ...part }, signal);
      this.loading = false;
      this.trouble = "";
      this.changed({ kind: "rows", ...take(logs, next) });
    } catch (error) {
      if (signal.aborted) return;
      this.loading = false;
      this.patience = Date.now() + PAUSE;
      this.#fail(`${which} lines could not be loaded: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {string} text */
  #fail(text) {
    this.trouble = text;
    this.changed({ kind: "status" });
  }

  /** @param {import("./log-groups.js").LogEvent} event */
  #hear({ lines = [], history = false, opened = false, gap }) {
    if (gap !== undefined) {
      this.#flush();
      this.buffer.gap(gapText(gap), { from: gap.from, to: gap.to });
      this.changed({ kind: "rows" });
      return;
    }
    if (opened && this.seam !== "closed" && !this.loading) void this.#catchUp();
    if (history && this.seam === "open") this.seam = lines;
    // What selects by time is the page that was fetched: lines from before its start are none of it.
    for (const line of lines) if (!(line.timestamp < this.start)) this.arrived.push(line);
    this.flush();
  }

  /** An event stream has opened after the lines were fetched: what came in between is fetched as well. */
  async #catchUp() {
    this.seam = "closed";
    const { signal } = this.aborter;
    try {
      const { logs } = await this.client.api.get("/logs", { ...this.query(), limit: PAGE }, signal);
      this.arrived.unshift(...logs);
      this.flush();
    } catch {
      // The lines that come are shown all the same.
    }
  }

  /** Join the fetched lines and the first that came live; where they do not meet, those in between are fetched. */
  #join() {
    const { seam } = this;
    if (!Array.isArray(seam)) return;
    this.seam = "closed";
    const newest = this.buffer.newest();
    const [first] = seam;
    if (first === undefined || newest === null || seam.some(({ id }) => this.buffer.ids.has(id))) return;
    void this.fill(this.buffer.gap("Lines that came in between are loading", { from: newest.timestamp, to: first.timestamp }));
  }

  #flush() {
    if (this.loading || this.view === null) return;
    this.#join();
    const added = this.buffer.append(this.arrived);
    this.arrived = [];
    // Above the limit the oldest go; while the reader is up there, only when it is far exceeded.
    const trimmed = this.atEnd || this.buffer.length > this.buffer.most * 1.2 ? this.buffer.trim() : 0;
    if (trimmed > 0) this.older = { cursor: "", end: justAfter(this.buffer.oldest()) };
    if (added > 0 || trimmed > 0) this.changed({ kind: "rows", added, before: -trimmed });
  }
}

/** @param {View} one @param {View} other */
function sameLines(one, other) {
  const key = (/** @type {View} */ { featureId, environment, filters, line }) => JSON.stringify([featureId, environment, { ...filters, live: true }, line]);
  return key(one) === key(other);
}

/** @param {Record<string, any>} gap */
function gapText({ count, reason }) {
  const why = reason ? ` (${String(reason).replaceAll("_", " ")})` : "";
  return `${count ? `${NUMBER.format(count)} lines` : "Lines"} were not delivered${why}`;
}

/**
 * The end of a page that leads up to a line. Lines of the same moment may have gone with the older ones: they are
 * within the page, and those that are held are known by their ids.
 * @param {import("./log-buffer.js").Line|null} line
 */
function justAfter(line) {
  return line === null ? "" : new Date(Date.parse(line.timestamp) + 1).toISOString();
}
