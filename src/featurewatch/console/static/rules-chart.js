// A rule over its metric: the line of the figure, the threshold across it, and bands where it would have fired.

import { h, oncePerFrame, setText, svg } from "./kit/dom.js";
import { hourMinute, moment } from "./kit/format.js";
import { valueText } from "./alerts-words.js";
import { nearest, runs, ticks, timeTicks } from "./scale.js";

/**
 * @typedef {{start: number, end: number, value: number|null}} Band epoch ms; value: the worst while it fired
 * @typedef {object} Shown
 * @property {string} metric @property {string} condition @property {number|null} threshold
 * @property {[number, number|null][]} points ascending @property {number} step ms between two points
 * @property {Band[]} bands @property {number} from epoch ms @property {number} to
 */

const HEIGHT = 220;
const TOP = 10;
const BOTTOM = 22;
/** A band narrower than this could not be seen. */
const NARROWEST = 3;

/**
 * Choose the marks of the axis. Figures that stay near their top (uptime, success) are not drawn from zero: what differs would be lost.
 * @param {number[]} values @returns {number[]} ascending
 */
export function axisOf(values) {
  const high = Math.max(0, ...values);
  const low = Math.min(...values, high);
  if (high === 0 || low < high * 0.6) return ticks(high);
  const room = Math.max(high - low, high * 0.02);
  const step = ticks(room)[1];
  const base = Math.max(0, Math.floor((low - room * 0.1) / step) * step);
  const count = Math.ceil((high - base) / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((base + index * step).toPrecision(12)));
}

export class RuleChart {
  constructor() {
    this.plot = svg("svg", { class: "rule-plot", role: "img", tabindex: "0", height: HEIGHT });
    this.said = h("p", { class: "rule-said" });
    this.element = h("div", { class: "rule-chart" }, this.plot, this.said);
    /** @type {Shown|null} */
    this.shown = null;
    /** @type {number|null} */
    this.at = null;
    this.draw = oncePerFrame(() => this.#draw());
    this.resized = new ResizeObserver(this.draw);
    this.resized.observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => this.#point(/** @type {PointerEvent} */ (event).clientX));
    for (const gone of ["pointerleave", "blur"]) this.plot.addEventListener(gone, () => this.#move(null));
    this.plot.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)));
  }

  close() {
    this.resized.disconnect();
  }

  /** @param {Shown} shown */
  update(shown) {
    this.shown = shown;
    this.draw();
  }

  #draw() {
    const { shown } = this;
    if (shown === null || !this.plot.isConnected) return;
    const { metric, points, bands, from, to, threshold, step } = shown;
    const width = Math.max(200, this.plot.clientWidth);
    const values = points.flatMap(([, value]) => (value === null ? [] : [value]));
    const marks = axisOf([...values, ...(threshold === null ? [] : [threshold]), ...bands.flatMap(({ value }) => (value === null ? [] : [value]))]);
    const [bottom, top] = [marks[0], marks[marks.length - 1]];
    const labels = marks.map((mark) => valueText(metric, mark).replace("/min", ""));
    const left = 14 + Math.max(...labels.map((text) => text.length)) * 6.2;
    const x = (/** @type {number} */ time) => left + ((Math.min(to, Math.max(from, time)) - from) / (to - from)) * (width - left - 2);
    const y = (/** @type {number} */ value) => TOP + (1 - (value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
    this.left = left;
    const parts = [];
    for (const band of bands) {
      if (band.end < from || band.start > to) continue;
      const wide = Math.max(NARROWEST, x(band.end) - x(band.start));
      const at = Math.min(x(band.start), width - 2 - wide);
      parts.push(svg("rect", { class: "rule-band", x: at.toFixed(1), y: TOP, width: wide.toFixed(1), height: HEIGHT - TOP - BOTTOM, rx: 1.5 }));
    }
    marks.forEach((mark, index) => {
      const at = Math.round(y(mark)) + 0.5;
      parts.push(svg("path", { class: index === 0 ? "axis" : "grid", d: `M${left} ${at}H${width}` }));
      parts.push(svg("text", { class: "tick", x: left - 8, y: at + 3.5, "text-anchor": "end" }, labels[index]));
    });
    const days = to - from > 36 * 3_600_000;
    for (const time of timeTicks(from, to, Math.max(2, Math.floor((width - left) / 84)))) {
      const at = x(time);
      if (at < left + 16 || at > width - 20) continue;
      const date = new Date(time);
      parts.push(svg("text", { class: "tick", x: at, y: HEIGHT - 5, "text-anchor": "middle" }, days ? date.toLocaleDateString(undefined, { day: "numeric", month: "short" }) : hourMinute(date)));
    }
    const path = runs(points, step)
      .map((run) => `M${run.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}${run.length === 1 ? "h0" : ""}`)
      .join("");
    parts.push(svg("path", { class: "line tone-main", d: path }));
    if (threshold !== null && threshold >= bottom && threshold <= top) parts.push(svg("path", { class: "rule-threshold", d: `M${left} ${y(threshold).toFixed(1)}H${width}` }));
    if (this.at !== null) parts.push(svg("path", { class: "cursor", d: `M${x(this.at).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` }));
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.plot.replaceChildren(...parts);
    this.#tell(values);
  }

  /** @param {number[]} values */
  #tell(values) {
    const { metric, points, bands, step, from, to } = /** @type {Shown} */ (this.shown);
    const here = bands.filter(({ start, end }) => end >= from && start <= to).length;
    const about = `${valueText(metric, values.length === 0 ? null : Math.min(...values))} to ${valueText(metric, values.length === 0 ? null : Math.max(...values))}; ${here} ${here === 1 ? "firing" : "firings"} in sight.`;
    let said = "";
    if (this.at !== null) {
      const point = nearest(points, this.at, step);
      const fires = bands.find(({ start, end }) => /** @type {number} */ (this.at) >= start && /** @type {number} */ (this.at) <= end);
      said = `${moment(new Date(this.at), new Date())} · ${valueText(metric, point?.[1] ?? null)}${fires ? ` · would have fired (worst ${valueText(metric, fires.value)})` : ""}`;
    }
    setText(this.said, said);
    this.plot.setAttribute("aria-label", said === "" ? `The figure with the rule over it: ${about} Arrow keys read it.` : said);
  }

  /** @param {number|null} time */
  #move(time) {
    if (time === this.at) return;
    this.at = time;
    this.draw();
  }

  /** @param {number} clientX */
  #point(clientX) {
    if (this.shown === null) return;
    const { from, to } = this.shown;
    const box = this.plot.getBoundingClientRect();
    const left = this.left ?? 0;
    this.#move(from + Math.min(1, Math.max(0, (clientX - box.left - left) / (box.width - left - 2))) * (to - from));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined || this.shown === null) return;
    event.preventDefault();
    const { from, to, step } = this.shown;
    this.#move(Math.min(to, Math.max(from, (this.at ?? to) + move * step)));
  }
}
