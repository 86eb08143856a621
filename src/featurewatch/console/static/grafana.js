// The way into Grafana: the same feature, environment and time.

import { rangeOf } from "./times.js";

/** What a dashboard is asked for where the console is live. */
const NAMED = { "": "now-1h", "1h": "now-1h", "6h": "now-6h", "24h": "now-24h", "7d": "now-7d" };

/**
 * Make the addresses of the dashboards that featurewatch ships.
 * @param {string} grafana Grafana's address @param {string} feature @param {string} environment
 * @param {{time: string, start: string, end: string}} route @returns {{feature: string, logs: string}}
 */
export function grafanaLinks(grafana, feature, environment, route) {
  const { from, to } = rangeOf(route);
  const query = new URLSearchParams({
    "var-feature": feature,
    "var-environment": environment,
    from: from === null ? (NAMED[route.time] ?? NAMED[""]) : String(from),
    to: to === null ? "now" : String(to),
  });
  const base = grafana.replace(/\/+$/, "");
  return { feature: `${base}/d/featurewatch-feature?${query}`, logs: `${base}/d/featurewatch-logs?${query}` };
}
