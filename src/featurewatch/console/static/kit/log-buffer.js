// The lines that the drawer holds: history before, live after, each line once. Pure.

/**
 * @typedef {object} Line
 * @property {string} id @property {string} timestamp @property {string} level @property {string} message
 * @property {string} [source] @property {string} [environment] @property {string} [trace_id] @property {string} [user_id]
 * @property {Record<string, unknown>} [metadata] @property {boolean} [late]
 *
 * @typedef {object} Gap a place where lines are missing
 * @property {string} id @property {string} gap what is missing, in words
 * @property {string} [from] ISO 8601, where it begins, if that is known @property {string} [to] where it ends
 */

/** @typedef {Line|Gap} Row */

export class LogBuffer {
  /** @param {number} [most] rows kept; above it the oldest go, and can be loaded again */
  constructor(most = 100_000) {
    this.most = most;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Set<string>} */
    this.ids = new Set();
    this.gaps = 0;
  }

  get length() {
    return this.rows.length;
  }

  clear() {
    this.rows = [];
    this.ids.clear();
  }

  /** Add lines that came live (or were missed meanwhile) at the end. @param {Line[]} lines @returns {number} how many were new */
  append(lines) {
    const fresh = this.#unknown(lines);
    for (const line of fresh) this.rows.push(line);
    return fresh.length;
  }

  /** Add older lines, oldest first, before all others. @param {Line[]} lines @returns {number} how many were new */
  prepend(lines) {
    const fresh = this.#unknown(lines);
    if (fresh.length > 0) this.rows = [...fresh, ...this.rows];
    return fresh.length;
  }

  /** Mark a place at the end where lines are missing; marks that follow each other are one. @param {string} text @param {{from?: string, to?: string}} [span] @returns {Gap} */
  gap(text, { from, to } = {}) {
    this.gaps += 1;
    const last = this.rows.at(-1);
    const joined = last !== undefined && "gap" in last ? last : null;
    if (joined !== null) this.rows.pop();
    const mark = { id: `gap-${this.gaps}`, gap: text, from: joined?.from ?? from, to: to ?? joined?.to };
    this.rows.push(mark);
    return mark;
  }

  /** Put the missing lines where the mark is. @param {string} id the gap's @param {Line[]} lines @returns {{at: number, added: number}|null} null where the gap has gone */
  fill(id, lines) {
    const at = this.rows.findIndex((row) => row.id === id);
    if (at === -1) return null;
    const fresh = this.#unknown(lines);
    this.rows = [...this.rows.slice(0, at), ...fresh, ...this.rows.slice(at + 1)];
    return { at, added: fresh.length - 1 };
  }

  /** Drop the oldest rows above the limit. @returns {number} how many went */
  trim() {
    const excess = this.rows.length - this.most;
    if (excess <= 0) return 0;
    for (const row of this.rows.splice(0, excess)) this.ids.delete(row.id);
    return excess;
  }

  /** @returns {Line|null} the oldest line held */
  oldest() {
    return /** @type {Line|null} */ (this.rows.find((row) => !("gap" in row)) ?? null);
  }

  /** @returns {Line|null} the newest line held */
  newest() {
    return /** @type {Line|null} */ (this.rows.findLast((row) => !("gap" in row)) ?? null);
  }

  /** @param {Line[]} lines @returns {Line[]} those not held yet */
  #unknown(lines) {
    return lines.filter((line) => !this.ids.has(line.id) && this.ids.add(line.id));
  }
}
