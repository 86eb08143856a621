// How old the figures are that are shown: as they come, as they were last known, or of a store that cannot be reached.

import { h, setAttribute, setText } from "./kit/dom.js";

/** A stream tells figures every few seconds: older ones are not live, whatever the connection says. */
const OLD = 60_000;

/** @typedef {"live"|"cached"|"stale"} Fresh */

export const FRESH = {
  live: { word: "Live", help: "As they come, every few seconds" },
  cached: { word: "Cached", help: "As they were when they were last asked for" },
  stale: { word: "Stale", help: "The store cannot be reached: these are the last figures known" },
};

/**
 * @param {import("./store.js").Snapshot|null|undefined} snapshot @param {string} state the connection's @param {boolean} asked by a
 *     question, not by the stream @param {number} now epoch ms @returns {Fresh}
 */
export function freshness(snapshot, state, asked, now) {
  if (snapshot?.stale) return "stale";
  return !asked && state.startsWith("live") && now - Date.parse(snapshot?.timestamp ?? "") < OLD ? "live" : "cached";
}

/** Make a mark that says it: a dot and a word, the word unseen where there is no room. @param {{quiet?: boolean}} [options] */
export function freshMark({ quiet = false } = {}) {
  const word = h("span", { class: quiet ? "unseen" : "fresh-word" });
  const element = h("span", { class: "fresh" }, h("span", { class: "fresh-dot" }), word);
  return {
    element,
    /** @param {Fresh} fresh */
    show(fresh) {
      setAttribute(element, "data-fresh", fresh);
      setAttribute(element, "title", FRESH[fresh].help);
      setText(word, FRESH[fresh].word);
    },
  };
}
