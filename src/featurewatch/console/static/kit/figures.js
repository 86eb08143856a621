// Figures as elements: the number large, its unit quiet, its status told by icon and colour.

import { h, setAttribute, setText } from "./dom.js";
import { FIGURES, figure } from "./format.js";
import { icon } from "./icons.js";

/** @type {Record<string, string>} */
const MARKS = { good: "healthy", warning: "warning", error: "error" };
/** @type {Record<string, string>} */
const WORDS = { good: "good", warning: "needs attention", error: "bad" };

/**
 * Make an element that shows a figure and can be told others.
 * @param {string} name a key of FIGURES @param {{marked?: boolean}} [options] marked: with the status's icon
 * @returns {{element: HTMLElement, show: (value: number|null|undefined, status?: string) => void}}
 */
export function figureElement(name, { marked = false } = {}) {
  const value = h("span", { class: "figure-value" });
  const unit = h("span", { class: "figure-unit" });
  const mark = h("span", { class: "figure-mark" });
  const element = h("span", { class: "figure" }, value, unit, marked && mark);
  let shownStatus = "";
  return {
    element,
    show(number, status = "") {
      const shown = figure(name, number);
      setText(value, shown.value);
      setText(unit, shown.unit);
      setAttribute(element, "data-status", status in MARKS ? status : null);
      if (!marked || status === shownStatus) return;
      shownStatus = status;
      mark.replaceChildren(...(status in MARKS ? [icon(MARKS[status], WORDS[status])] : []));
    },
  };
}

/**
 * Make a tile: label, figure, what it covers.
 * @param {string} name @param {{note?: string, large?: boolean}} options
 */
export function tile(name, { note = "", large = false }) {
  const { element, show } = figureElement(name, { marked: true });
  const { label, help } = FIGURES[name];
  return {
    element: h(
      "div",
      { class: large ? "tile tile-large" : "tile", title: help, dataset: { metric: name } },
      h("dt", { class: "tile-label" }, label, note && h("span", { class: "tile-note" }, note)),
      h("dd", {}, element),
    ),
    show,
  };
}
