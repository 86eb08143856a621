// One connection for all parts of a page that ask the same bridge for the same environment.

import { LiveClient } from "./client.js";

/** How long (ms) a connection outlives its last part: pages that swap parts, and React's double effects, keep it. */
const LINGER = 1_000;
/** Kept on the global object: a page may load this module twice, from a bundle and from the bridge. */
const REGISTRY = Symbol.for("featurewatch.connections.1");

/**
 * @typedef {{client: LiveClient, parts: number, timer?: ReturnType<typeof setTimeout>}} Shared
 * @typedef {{client: LiveClient, release: () => void}} Connection
 */

/** @type {import("./client.js").ClientOptions} */
let defaults = {};

/** Say once for all parts of the page where the bridge is and who asks. Parts that say it themselves keep what they say. @param {import("./client.js").ClientOptions} options */
export function configure(options) {
  defaults = { ...defaults, ...options };
}

/**
 * Say what differs from what was said before. Who asks (`getToken`) was said of the bridge that was named with it: another one does not get its tokens.
 * @param {import("./client.js").ClientOptions} before @param {import("./client.js").ClientOptions} [options] @returns {import("./client.js").ClientOptions}
 */
export function differing(before, options = {}) {
  const own = /** @type {import("./client.js").ClientOptions} */ (Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined && value !== null)));
  const elsewhere = before.base !== undefined && own.base !== undefined && bare(own.base) !== bare(before.base);
  return { ...before, ...(elsewhere ? { getToken: null } : {}), ...own };
}

/** @param {import("./client.js").ClientOptions} [options] @returns {import("./client.js").ClientOptions & {base: string, prefix: string, environment: string}} with the page's defaults */
export function settled(options = {}) {
  const { base = "", prefix = "/api/v1", environment = "", ...others } = differing(defaults, options);
  return { base: bare(base), prefix: bare(prefix), environment, ...others };
}

/** @param {string} address @returns {string} without slashes at its end */
function bare(address) {
  return address.replace(/\/+$/, "");
}

/**
 * Get the page's connection, opened by the first part that asks.
 * @param {import("./client.js").ClientOptions} [options] @returns {Connection} `release` it when the part goes
 */
export function connect(options = {}) {
  const all = settled(options);
  const { base, prefix, environment, getToken = null } = all;
  const registry = connections();
  const key = JSON.stringify([base, prefix, environment]);
  const shared = registry.get(key) ?? { client: new LiveClient(all), parts: 0 };
  registry.set(key, shared);
  clearTimeout(shared.timer);
  shared.parts += 1;
  if (getToken !== null) shared.client.token.getToken = getToken;
  if (!shared.client.started) shared.client.start();
  let released = false;
  return {
    client: shared.client,
    release() {
      if (released) return;
      released = true;
      shared.parts -= 1;
      if (shared.parts > 0) return;
      shared.timer = setTimeout(() => {
        registry.delete(key);
        shared.client.stop();
      }, LINGER);
    },
  };
}

/** @returns {Map<string, Shared>} */
function connections() {
  const holder = /** @type {Record<symbol, Map<string, Shared>>} */ (/** @type {unknown} */ (globalThis));
  holder[REGISTRY] ??= new Map();
  return holder[REGISTRY];
}
