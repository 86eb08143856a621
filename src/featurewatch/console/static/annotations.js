// What is drawn into a feature's charts besides its figures: what its health and its rules allow, and when alerts were open.

import { FIGURES } from "./kit/format.js";
import { plain } from "./kit/plain-text.js";

/** What health looks at by itself, where no rule does. */
const HEALTH = { error_rate: "Healthy below", response_time_p95: "Healthy below", uptime: "Healthy from" };

/** @typedef {import("./chart-shapes.js").Threshold} Threshold @typedef {import("./chart-shapes.js").Episode} Episode */

/**
 * Name the lines of a feature's thresholds and of the rules that are on.
 * @param {Record<string, number>} thresholds @param {any[]} rules @param {string} environment @returns {Threshold[]}
 */
export function thresholdsOf(thresholds, rules, environment) {
  const own = Object.entries(HEALTH).filter(([metric]) => metric in thresholds).map(([metric, label]) => ({ metric, value: thresholds[metric], label }));
  const ruled = rules
    .filter(({ kind, enabled, metric, environment: only }) => kind === "metric" && enabled && metric in FIGURES && (only ?? environment) === environment)
    .map(({ metric, threshold, name, severity }) => ({ metric, value: threshold, label: plain(name), severity }));
  return [...own, ...ruled];
}

/** @param {any[]} alerts @returns {(Episode & {metric: string})[]} */
export function episodesOf(alerts) {
  return alerts.map((alert) => ({
    metric: String(alert.metadata?.metric ?? ""),
    from: Date.parse(alert.triggered_at),
    to: alert.resolved_at ? Date.parse(alert.resolved_at) : null,
    title: plain(alert.title),
    severity: alert.severity,
    status: alert.status,
  }));
}

export class Annotations {
  /** @param {import("./main.js").Context} context @param {string} id @param {() => void} changed */
  constructor(context, id, changed) {
    this.context = context;
    this.path = `/features/${encodeURIComponent(id)}`;
    this.changed = changed;
    /** @type {Threshold[]} */
    this.thresholds = [];
    /** @type {(Episode & {metric: string})[]} */
    this.episodes = [];
    this.aborter = new AbortController();
  }

  close() {
    this.aborter.abort();
  }

  /** @param {string} environment @param {number} from epoch ms: alerts that ended before are of no interest */
  async load(environment, from) {
    this.aborter.abort();
    const { signal } = (this.aborter = new AbortController());
    const { api, lane } = this.context;
    const ask = (/** @type {string} */ path, /** @type {any} */ query) => lane.run(() => api.get(`${this.path}${path}`, query, signal));
    try {
      const [{ thresholds }, { rules }, { alerts }] = await Promise.all([
        ask("", { environment }),
        ask("/alerts/rules", {}),
        ask("/alerts", { environment, limit: 200 }),
      ]);
      if (signal.aborted) return;
      this.thresholds = thresholdsOf(thresholds, rules, environment);
      this.episodes = episodesOf(alerts).filter(({ to }) => (to ?? Infinity) >= from);
      this.changed();
    } catch {
      // The figures are worth showing without them; the next look may succeed.
    }
  }
}
