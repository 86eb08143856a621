// One line of a log, closed (one row) or open (everything it carries). All data is set as text.

import { copyFrom, h } from "./dom.js";
import { clockMs, moment } from "./format.js";
import { segments } from "./highlight.js";
import { icon } from "./icons.js";

/**
 * @param {import("./log-buffer.js").Row} row
 * @param {{search: string, open: boolean, toggle: () => void, fill: () => void}} options fill: load what a gap misses
 * @returns {HTMLElement}
 */
export function logRow(row, { search, open, toggle, fill }) {
  if ("gap" in row) {
    const load = row.from && row.to && h("button", { class: "log-fill", type: "button", onclick: fill }, "Load them");
    return h("div", { class: "log-row log-gap", role: "listitem" }, h("span", {}, row.gap, load && " ", load));
  }
  const at = new Date(row.timestamp);
  const button = h("button", { class: "log-toggle", type: "button", "aria-expanded": String(open), "aria-label": "Details", onclick: toggle }, icon("chevron"));
  const head = h(
    "div",
    { class: "log-head" },
    button,
    h("time", { class: "log-time", datetime: row.timestamp, title: row.timestamp }, timeText(at)),
    h("span", { class: "log-level" }, row.level),
    h("span", { class: "log-source" }, ...marked(row.source ?? "", search)),
    h("span", { class: "log-message" }, ...marked(firstLine(row.message), search)),
    row.late && h("span", { class: "chip", title: "Arrived after lines that are newer" }, "late"),
  );
  head.addEventListener("click", (event) => {
    // A click that ends a selection of text is no click on the row.
    if (button.contains(/** @type {Node} */ (event.target)) || getSelection()?.isCollapsed === false) return;
    toggle();
  });
  return h("div", { class: `log-row${open ? " is-open" : ""}`, role: "listitem", dataset: { level: row.level, id: row.id } }, head, open && details(row, search));
}

/** @param {Date} at */
function timeText(at) {
  const now = new Date();
  return at.toDateString() === now.toDateString() ? clockMs(at) : moment(at, now);
}

/** @param {string} message */
function firstLine(message) {
  const end = message.indexOf("\n");
  return (end === -1 ? message : `${message.slice(0, end)} ⏎`).slice(0, 2000);
}

/** @param {import("./log-buffer.js").Line} line @param {string} search */
function details(line, search) {
  /** @type {[string, string][]} */
  const facts = [
    ["Time", `${clockMs(new Date(line.timestamp))} · ${line.timestamp}`],
    ["Level", line.level],
    ["Source", line.source ?? ""],
    ["Environment", line.environment ?? ""],
    ["Trace id", line.trace_id ?? ""],
    ["User id", line.user_id ?? ""],
  ];
  // A text of several lines (a traceback) is read as such, not as one line full of \n.
  const entries = Object.entries(line.metadata ?? {});
  const texts = entries.filter(([, value]) => typeof value === "string" && value.includes("\n"));
  const others = entries.filter(([name]) => !texts.some(([text]) => text === name));
  return h(
    "div",
    { class: "log-details" },
    h("pre", { class: "log-full" }, ...marked(line.message, search)),
    h(
      "dl",
      { class: "log-facts" },
      ...facts.filter(([, value]) => value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, ...marked(value, name === "Source" ? search : ""), name === "Trace id" && copyButton(value))]),
    ),
    others.length > 0 && block("Metadata", JSON.stringify(Object.fromEntries(others), null, 2), search),
    ...texts.map(([name, text]) => block(name, String(text).trimEnd(), search)),
  );
}

/** @param {string} title @param {string} text @param {string} search */
function block(title, text, search) {
  return h("div", { class: "log-metadata" }, h("h3", {}, title), h("pre", {}, ...marked(text, search)));
}

/** @param {string} traceId */
function copyButton(traceId) {
  const button = h("button", { class: "button button-small", type: "button", "aria-label": "Copy the trace id", onclick: () => copyFrom(button, traceId) }, "Copy");
  return button;
}

/** @param {string} text @param {string} search @returns {(string|HTMLElement)[]} */
function marked(text, search) {
  return segments(text, search).map(({ text: part, hit }) => (hit ? h("mark", {}, part) : part));
}
