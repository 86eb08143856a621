// A feature's newest figures: asked for once, followed from then on, the latest one a frame.

import { oncePerFrame } from "./frame.js";

/**
 * @typedef {object} MetricsState
 * @property {any} snapshot      a MetricsSnapshot, null before the first
 * @property {Date|null} at      when it was measured
 * @property {boolean} isLoading whether it was asked for and has not come
 * @property {Error|null} error  why it could not be had
 */

/**
 * Watch a feature's figures.
 * @param {import("./client.js").LiveClient} client @param {string} featureId @param {(state: MetricsState) => void} changed
 * @param {{live?: boolean}} [options] live: false asks once, and again at each `refresh`
 * @returns {{refresh: () => Promise<void>, end: () => void}}
 */
export function watchMetrics(client, featureId, changed, { live = true } = {}) {
  /** @type {MetricsState} */
  let state = { snapshot: null, at: null, isLoading: false, error: null };
  let over = false;
  const told = oncePerFrame(() => over || changed(state));
  const settle = (/** @type {Partial<MetricsState>} */ part) => {
    state = { ...state, ...part };
    told();
  };
  const take = (/** @type {any} */ snapshot) => {
    // An answer that was under way for long must not take back what came live.
    if (state.snapshot !== null && Date.parse(snapshot.timestamp) < Date.parse(state.snapshot.timestamp)) return;
    settle({ snapshot, at: new Date(snapshot.timestamp), error: null });
  };
  const refresh = async () => {
    settle({ isLoading: true });
    try {
      const { data } = await client.api.get(`/features/${encodeURIComponent(featureId)}/metrics/current`, { environment: client.environment });
      if (!over) take(data);
    } catch (error) {
      if (!over) settle({ error: /** @type {Error} */ (error) });
    }
    if (!over) settle({ isLoading: false });
  };
  const ends = live
    ? [client.subscribe("metrics_update", (message) => message.featureId === featureId && take(message.data)), client.follow(featureId)]
    : [];
  const known = live ? client.snapshots.get(featureId) : undefined;
  if (known === undefined) void refresh();
  else take(known);
  return {
    refresh,
    end() {
      over = true;
      for (const end of ends) end();
    },
  };
}
