// One line of a log, closed (one row) or open (everything it carries). All data is set as text.

import { copyFrom, h } from "./dom.js";
import { clockMs, moment } from "./format.js";
import { segments } from "./highlight.js";
import { icon } from "./icons.js";
import { plain } from "./plain-text.js";

/** Characters of a row; the rest is seen when it is opened. */
const ROW = 2_000;
/** Characters that are laid out of an open line; a megabyte in one piece would stop the page for seconds. */
const LONG = 20_000;

/**
 * @typedef {object} RowOptions
 * @property {string} search @property {boolean} open @property {boolean} here whether it is the line that was looked for
 * @property {() => void} toggle @property {() => void} fill load what a gap misses
 * @property {() => void} around show the lines around it @property {() => string} link its permalink, "" where there is none
 */

/** @param {import("./log-buffer.js").Row} row @param {RowOptions} options @returns {HTMLElement} */
export function logRow(row, options) {
  const { search, open, here, toggle, fill } = options;
  if ("gap" in row) {
    const load = row.from && row.to && h("button", { class: "log-fill", type: "button", onclick: fill }, "Load them");
    return h("div", { class: "log-row log-gap", part: "gap", role: "listitem" }, h("span", {}, row.gap, load && " ", load));
  }
  const at = new Date(row.timestamp);
  const button = h("button", { class: "log-toggle", type: "button", "aria-expanded": String(open), "aria-label": "Details", onclick: toggle }, icon("chevron"));
  const head = h(
    "div",
    { class: "log-head" },
    button,
    h("time", { class: "log-time", datetime: row.timestamp, title: row.timestamp }, timeText(at)),
    h("span", { class: "log-level" }, row.level),
    h("bdi", { class: "log-source" }, ...marked(plain((row.source ?? "").slice(0, 200)), search)),
    h("bdi", { class: "log-message" }, ...marked(plain(firstLine(row.message)), search)),
    row.late && h("span", { class: "chip", title: "Arrived after lines that are newer" }, "late"),
  );
  head.addEventListener("click", (event) => {
    // A click that ends a selection of text is no click on the row.
    if (button.contains(/** @type {Node} */ (event.target)) || getSelection()?.isCollapsed === false) return;
    toggle();
  });
  const classes = `log-row${open ? " is-open" : ""}${here ? " is-here" : ""}`;
  return h("div", { class: classes, part: `line line-${row.level}`, role: "listitem", "aria-current": here && "true", dataset: { level: row.level, id: row.id } }, head, open && details(row, options));
}

/** @param {Date} at */
function timeText(at) {
  const now = new Date();
  return at.toDateString() === now.toDateString() ? clockMs(at) : moment(at, now);
}

/** @param {string} message */
function firstLine(message) {
  const start = message.slice(0, ROW);
  const end = start.search(/[\r\n]/);
  return end === -1 ? (message.length > ROW ? `${start}…` : start) : `${start.slice(0, end)} ⏎`;
}

/** @param {import("./log-buffer.js").Line} line @param {RowOptions} options */
function details(line, { search, around, link }) {
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
  const copyLine = h("button", { class: "button button-small", type: "button", onclick: () => copyFrom(copyLine, line.message) }, "Copy message");
  const address = link();
  const copyLink = address !== "" && h("button", { class: "button button-small", type: "button", onclick: () => copyFrom(/** @type {HTMLElement} */ (copyLink), address) }, "Copy link");
  return h(
    "div",
    { class: "log-details", part: "details" },
    longText("log-full", line.message, search),
    h(
      "div",
      { class: "log-actions" },
      h("button", { class: "button button-small", type: "button", onclick: around }, "Show around"),
      copyLink,
      copyLine,
    ),
    h(
      "dl",
      { class: "log-facts" },
      ...facts.filter(([, value]) => value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, name === "Trace id" ? traceId(value) : h("bdi", {}, ...marked(plain(value), name === "Source" ? search : "")))]),
    ),
    others.length > 0 && block("Metadata", JSON.stringify(Object.fromEntries(others), null, 2), search),
    ...texts.map(([name, text]) => block(name, String(text).trimEnd(), search)),
  );
}

/** @param {string} title @param {string} text @param {string} search */
function block(title, text, search) {
  return h("div", { class: "log-metadata" }, h("h3", {}, plain(title)), longText("", text, search));
}

/** A text of any length: what is long is cut, and shown whole on request. @param {string} name @param {string} text @param {string} search */
function longText(name, text, search) {
  const shown = h("pre", { class: name, dir: "auto" }, ...marked(plain(text.slice(0, LONG)), search));
  if (text.length <= LONG) return shown;
  shown.tabIndex = 0; // it scrolls
  const more = h("button", { class: "button button-small", type: "button" }, `Show all ${new Intl.NumberFormat().format(text.length)} characters`);
  more.addEventListener("click", () => {
    shown.replaceChildren(...marked(plain(text), search));
    more.remove();
  });
  return h("div", { class: "log-long" }, shown, more);
}

/** @param {string} id copied by a click on it */
function traceId(id) {
  const said = h("span", { class: "log-copied", role: "status" });
  const button = h("button", { class: "log-trace", type: "button", "aria-label": "Copy the trace id", title: "Copy", onclick: () => copyFrom(said, id) }, plain(id));
  return h("span", {}, button, " ", said);
}

/** @param {string} text @param {string} search @returns {(string|HTMLElement)[]} */
function marked(text, search) {
  return segments(text, search).map(({ text: part, hit }) => (hit ? h("mark", {}, part) : part));
}
