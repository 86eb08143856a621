// Figures over a longer time than the stream's: asked for, and asked again while they are looked at.

/** Figures of a day do not change within seconds. */
const EVERY = 30_000;

/** @typedef {import("./store.js").Snapshot} Snapshot */

export class RangedFigures {
  /**
   * @param {{ask: (query: {time_range: string, environment: string}, signal: AbortSignal) => Promise<Snapshot[]>, changed: () => void}} options
   */
  constructor({ ask, changed }) {
    this.ask = ask;
    this.changed = changed;
    this.range = "";
    this.environment = "";
    this.asked = 0;
    /** @type {string} why the last question failed */
    this.failure = "";
    /** @type {Map<string, Snapshot>} by feature; empty until they are known */
    this.snapshots = new Map();
    this.aborter = new AbortController();
  }

  close() {
    this.aborter.abort();
  }

  /** Choose what is looked at; "" for the stream's own. @param {string} range such as 24h @param {string} environment "" for each feature's own */
  choose(range, environment) {
    if (range === this.range && environment === this.environment) return;
    this.range = range;
    this.environment = environment;
    this.snapshots = new Map();
    this.asked = 0;
    this.failure = "";
    this.aborter.abort();
    this.follow(Date.now());
  }

  /** Ask again where it is time; called as often as one likes. @param {number} now epoch ms */
  follow(now) {
    if (this.range === "" || document.hidden || now - this.asked < EVERY) return;
    this.asked = now;
    void this.#read();
  }

  /** Ask at the next look. */
  refresh() {
    this.asked = 0;
  }

  async #read() {
    const { signal } = (this.aborter = new AbortController());
    try {
      const found = await this.ask({ time_range: this.range, environment: this.environment }, signal);
      if (signal.aborted) return;
      this.snapshots = new Map(found.map((snapshot) => [snapshot.featureId, snapshot]));
      this.failure = "";
    } catch (error) {
      if (signal.aborted) return;
      this.failure = /** @type {Error} */ (error).message;
    }
    this.changed();
  }
}
