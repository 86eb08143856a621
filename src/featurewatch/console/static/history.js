// Figures over time: loaded once, then continued step by step.
//
// A live snapshot covers five minutes, a point of a history one step: so the end of a line is measured over a step too,
// and does not change its meaning there.

import { joinPoints } from "./scale.js";

/** How often the last step is asked for while it still runs, at most. */
const PROVISIONAL = 5_000;

/** @typedef {import("./chart.js").Points} Points */

/** Lets a few run at a time, in order: a hundred features must not ask a hundred questions at once. */
export class Lane {
  /** @param {number} width how many run at a time */
  constructor(width) {
    this.width = width;
    this.running = 0;
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** @template T @param {() => Promise<T>} task @returns {Promise<T>} */
  async run(task) {
    if (this.running >= this.width) await new Promise((go) => this.waiting.push(() => go(undefined)));
    else this.running += 1;
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      // The place is handed on, not given back, so that nobody can slip in between.
      if (next) next();
      else this.running -= 1;
    }
  }
}

export class History {
  /**
   * @param {{api: import("./kit/api.js").Api, lane: Lane, featureId: string, environment: string, metrics: string[],
   *     range: import("./times.js").Range, changed: () => void, provisional?: boolean}} options
   *     provisional: whether the step that still runs is shown
   */
  constructor({ api, lane, featureId, environment, metrics, range, changed, provisional = false }) {
    Object.assign(this, { api, lane, featureId, environment, metrics, range, changed, provisional });
    /** @type {Record<string, Points>} */
    this.points = Object.fromEntries(metrics.map((metric) => [metric, []]));
    this.path = `/features/${encodeURIComponent(featureId)}/metrics`;
    /** The last whole step that was read; a range that has ended is read once. */
    this.read = 0;
    this.asked = 0;
    this.busy = false;
    this.loaded = false;
    /** @type {string} why the last question failed, "" where it did not */
    this.failure = "";
    this.aborter = new AbortController();
  }

  close() {
    this.aborter.abort();
  }

  /** Bring the history up to now; called as often as one likes. @param {number} now epoch ms */
  async follow(now) {
    const { step, length, to } = this.range;
    const last = Math.floor(Math.min(now, to ?? now) / step) * step;
    const first = this.range.from === null ? last - length : Math.floor(this.range.from / step) * step;
    const whole = last > this.read;
    const follows = this.provisional && to === null;
    const pause = !whole ? Math.max(PROVISIONAL, step / 12) : this.failure === "" ? 0 : PROVISIONAL;
    if (this.busy || now - this.asked < pause || (!whole && !follows)) return;
    this.busy = true;
    this.asked = now;
    try {
      if (whole) {
        // The two steps before are read again: what apps pushed late belongs to them.
        await this.#fetch(this.read === 0 ? first : Math.max(first, this.read - 2 * step), last, first);
        this.read = last;
      }
      if (follows) await this.#fetchLast(now, first);
      this.failure = "";
      this.loaded = true;
    } catch (error) {
      this.failure = /** @type {Error} */ (error).message;
    }
    this.busy = false;
    if (!this.aborter.signal.aborted) this.changed();
  }

  /** Read everything again, after a break. */
  refresh() {
    this.read = 0;
  }

  /** @param {number} from @param {number} to @param {number} keep drop what is older */
  async #fetch(from, to, keep) {
    const { step } = this.range;
    const times = { start_time: new Date(from).toISOString(), end_time: new Date(to).toISOString(), step: `${step / 1000}s` };
    const ask = (/** @type {string} */ metric) => this.api.get(`${this.path}/history`, { metric, ...times, environment: this.environment }, this.aborter.signal);
    const answers = await Promise.all(this.metrics.map((metric) => this.lane.run(() => ask(metric))));
    this.metrics.forEach((metric, index) => {
      this.points[metric] = joinPoints(this.points[metric], answers[index].points, keep, step);
    });
  }

  /** Read the step that ends now: all figures in one answer, over as long a time as the other points. @param {number} now @param {number} keep */
  async #fetchLast(now, keep) {
    const { step } = this.range;
    const ask = () => this.api.get(`${this.path}/current`, { time_range: `${step / 1000}s`, environment: this.environment }, this.aborter.signal);
    const { data } = await this.lane.run(ask);
    for (const metric of this.metrics) {
      this.points[metric] = joinPoints(this.points[metric], [[now, data.metrics[metric] ?? null]], keep, step);
    }
  }
}
