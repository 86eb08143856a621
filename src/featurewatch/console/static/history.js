// The last hour of a feature's figures: loaded once, then continued minute by minute.
//
// A live snapshot covers five minutes, a point of a history one: so the end of a line is measured over a minute too,
// and does not change its meaning there.

import { joinPoints } from "./scale.js";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** How often the last minute is asked for while it still runs. */
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
   *     changed: () => void, provisional?: boolean}} options provisional: whether the minute that still runs is shown
   */
  constructor({ api, lane, featureId, environment, metrics, changed, provisional = false }) {
    Object.assign(this, { api, lane, featureId, environment, metrics, changed, provisional });
    /** @type {Record<string, Points>} */
    this.points = Object.fromEntries(metrics.map((metric) => [metric, []]));
    this.minute = 0;
    this.asked = 0;
    this.busy = false;
    this.failed = false;
    this.aborter = new AbortController();
  }

  close() {
    this.aborter.abort();
  }

  /** Bring the history up to now; called as often as one likes. @param {number} now epoch ms */
  async follow(now) {
    const minute = Math.floor(now / MINUTE) * MINUTE;
    const whole = minute > this.minute;
    const pause = whole && !this.failed ? 0 : PROVISIONAL;
    if (this.busy || now - this.asked < pause || (!whole && !this.provisional)) return;
    this.busy = true;
    this.asked = now;
    try {
      if (whole) {
        // The two minutes before are read again: what apps pushed late belongs to them.
        const from = this.minute === 0 ? minute - HOUR : Math.max(minute - HOUR, this.minute - 2 * MINUTE);
        await this.#fetch(from, minute, minute - HOUR);
        this.minute = minute;
      }
      if (this.provisional) await this.#fetchLast(now, minute - HOUR);
      this.failed = false;
    } catch {
      this.failed = true;
    }
    this.busy = false;
    if (!this.aborter.signal.aborted) this.changed();
  }

  /** Read everything again, after a break. */
  refresh() {
    this.minute = 0;
  }

  /** @param {number} from @param {number} to @param {number} keep drop what is older */
  async #fetch(from, to, keep) {
    const answers = await Promise.all(
      this.metrics.map((metric) =>
        this.lane.run(() =>
          this.api.get(
            `/features/${encodeURIComponent(this.featureId)}/metrics/history`,
            {
              metric,
              start_time: new Date(from).toISOString(),
              end_time: new Date(to).toISOString(),
              step: "60s",
              environment: this.environment,
            },
            this.aborter.signal,
          ),
        ),
      ),
    );
    this.metrics.forEach((metric, index) => {
      this.points[metric] = joinPoints(this.points[metric], answers[index].points, keep, MINUTE);
    });
  }

  /** Read the last sixty seconds: all figures in one answer, over as long a time as the other points. @param {number} now @param {number} keep */
  async #fetchLast(now, keep) {
    const path = `/features/${encodeURIComponent(this.featureId)}/metrics/current`;
    const { data } = await this.api.get(path, { time_range: "60s", environment: this.environment }, this.aborter.signal);
    for (const metric of this.metrics) {
      this.points[metric] = joinPoints(this.points[metric], [[now, data.metrics[metric] ?? null]], keep, MINUTE);
    }
  }
}
