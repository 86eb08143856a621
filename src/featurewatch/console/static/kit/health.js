// How health looks: an icon, a word and a colour, never a colour alone.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @type {Record<string, string>} */
export const HEALTH = { error: "Error", warning: "Warning", unknown: "Unknown", healthy: "Healthy" };

/** @param {string} health a key of HEALTH */
export function healthMark(health) {
  return h("span", { class: "health", dataset: { health } }, icon(health), h("span", { class: "health-word" }, HEALTH[health]));
}
