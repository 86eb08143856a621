// Which time is looked at: ranges that end now, and those chosen by zooming. Pure, but for the control.

import { h, setText } from "./kit/dom.js";
import { hourMinute, moment } from "./kit/format.js";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** What can be chosen: the name in the address, and the words. Live: figures as they come, the last hour behind them. */
export const TIMES = [["", "Live"], ["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"], ["7d", "7 d"]];

/** @type {Record<string, number>} ms */
const LENGTHS = { "": HOUR, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY };
/** Minutes between two points; finer ones would hold less than one report of most apps. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
/** Nothing is seen in less. */
export const SHORTEST = 5 * MINUTE;

/**
 * @typedef {object} Range
 * @property {number} length      ms
 * @property {number} step        ms between two points
 * @property {number|null} from   epoch ms; null where the range ends now
 * @property {number|null} to
 */

/** Choose the finest step that gives no more points than wanted. @param {number} length ms @param {number} most */
export function stepOf(length, most) {
  return (STEPS.find((minutes) => length / (minutes * MINUTE) <= most) ?? STEPS[STEPS.length - 1]) * MINUTE;
}

/**
 * Read the range that an address names; what is no range is the live hour.
 * @param {{time: string, start: string, end: string}} route @param {number} [most] points wanted at most @returns {Range}
 */
export function rangeOf({ time, start, end }, most = 180) {
  const [from, to] = [Date.parse(start), Date.parse(end)];
  if (time === "custom" && to - from >= MINUTE) return { length: to - from, step: stepOf(to - from, most), from, to };
  const length = LENGTHS[time] ?? HOUR;
  return { length, step: stepOf(length, most), from: null, to: null };
}

/** Tell over what time figures are asked for, "" for those of the stream. @param {{time: string}} route */
export function figuresRange({ time }) {
  return time in LENGTHS ? time : "";
}

/** Put a range that was chosen by hand into words. @param {number} from @param {number} to @param {Date} now */
export function rangeText(from, to, now) {
  const [one, other] = [new Date(from), new Date(to)];
  const last = one.toDateString() === other.toDateString() ? hourMinute(other) : dayTime(other, now);
  return `${dayTime(one, now)} – ${last}`;
}

/** @param {Date} date @param {Date} now */
function dayTime(date, now) {
  return date.toDateString() === now.toDateString() ? hourMinute(date) : moment(date, now);
}

/** Name the reader's zone, such as "Europe/Berlin, UTC+01:00". @param {Date} now */
export function zone(now) {
  const minutes = -now.getTimezoneOffset();
  const two = (/** @type {number} */ value) => String(Math.trunc(Math.abs(value))).padStart(2, "0");
  const offset = `UTC${minutes < 0 ? "−" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name && name !== "UTC" ? `${name}, ${offset}` : offset;
}

/** The choice of a range, as a row of buttons; a zoom shows itself and the way out. */
export class TimeControl {
  /** @param {import("./route.js").Router} router */
  constructor(router) {
    this.router = router;
    this.before = router.route.time === "custom" ? "" : router.route.time;
    this.buttons = TIMES.map(([time, text]) => h("button", { class: "segment", type: "button", onclick: () => this.#choose(time) }, text));
    this.zoom = h("span", { class: "zoom-text" });
    this.reset = h("button", { class: "button button-small", type: "button", onclick: () => this.#choose(this.before) }, "Reset zoom");
    this.custom = h("span", { class: "zoom", hidden: true }, this.zoom, this.reset);
    this.element = h("div", { class: "times" }, this.custom, h("div", { class: "segments", role: "group", "aria-label": "Time range" }, ...this.buttons));
    this.end = router.subscribe(() => this.#draw());
    this.#draw();
  }

  close() {
    this.end();
  }

  /** @param {string} time */
  #choose(time) {
    this.router.update({ time, start: "", end: "" }, { push: true });
  }

  #draw() {
    const { route } = this.router;
    const { from, to } = rangeOf(route);
    if (from === null) this.before = figuresRange(route);
    this.buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(from === null && TIMES[index][0] === this.before)));
    this.custom.hidden = from === null;
    if (from !== null && to !== null) setText(this.zoom, rangeText(from, to, new Date()));
  }
}
