// Marks that alerts and rules share: how bad, and when.

import { SEVERITY } from "./alerts-words.js";
import { h } from "./kit/dom.js";
import { moment } from "./kit/format.js";
import { icon } from "./kit/icons.js";

/** @param {string} severity */
export function severityMark(severity) {
  const { label, icon: mark } = SEVERITY[severity] ?? SEVERITY.low;
  return h("span", { class: "severity", dataset: { severity } }, icon(mark), label);
}

/** @param {string} iso */
export function timeMark(iso) {
  return h("time", { datetime: iso, title: iso }, moment(new Date(iso), new Date()));
}
