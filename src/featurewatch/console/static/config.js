// What the bridge tells its console about itself.

/** Where the API lives when the page was not filled in by a bridge. */
export const DEFAULT_PREFIX = "/api/v1";

/**
 * @typedef {object} Config
 * @property {string} prefix  where the API lives, without a slash at its end
 * @property {string} grafana Grafana's address, "" where there is none
 * @property {number} window  seconds that a snapshot's figures cover
 */

/**
 * Read the configuration from the text of the page's meta tag; what cannot be read falls back to the defaults.
 * @param {string} text
 * @returns {Config}
 */
export function readConfig(text) {
  let given = {};
  try {
    given = JSON.parse(text) ?? {};
  } catch {
    // The placeholder stands where no bridge replaced it, as on a plain file server.
  }
  const prefix = typeof given.prefix === "string" ? given.prefix : DEFAULT_PREFIX;
  return {
    prefix: prefix.replace(/\/+$/, ""),
    grafana: typeof given.grafana === "string" && /^https?:/.test(given.grafana) ? given.grafana : "",
    window: Number(given.window) > 0 ? Number(given.window) : 300,
  };
}
