// A chart: axes, lines with holes where nothing is known, thresholds, alert episodes, and a cursor that all charts of a
// page share. Dragging, or Shift and the arrow keys, chooses a part of the time to look at.

import { HEIGHT, axes, bars, cursorMarks, episodeBands, line, selection, thresholdLines } from "./chart-shapes.js";
import { h, oncePerFrame, setText, svg } from "./kit/dom.js";
import { asText, clock, figure, hourMinute, moment } from "./kit/format.js";
import { nearest } from "./scale.js";
import { SHORTEST } from "./times.js";

/** @typedef {import("./chart-shapes.js").Points} Points */
/** @typedef {import("./chart-shapes.js").Series} Series */

/** A finger or a mouse that moved less than this chose nothing. */
const LEAST_DRAG = 6;

/** One moment that is pointed at, and one part that is being chosen, in all charts of a page. */
export class Cursor {
  constructor() {
    /** @type {number|null} epoch ms */
    this.time = null;
    /** @type {number|null} where the choice began; it ends at `time` */
    this.anchor = null;
    /** @type {Set<() => void>} */
    this.charts = new Set();
  }

  /** @param {number|null} time @param {number|null} [anchor] */
  move(time, anchor = null) {
    if (time === this.time && anchor === this.anchor) return;
    this.time = time;
    this.anchor = anchor;
    for (const draw of this.charts) draw();
  }
}

export class Chart {
  /**
   * @param {{title: string, note?: string, series: Series[], bars?: boolean, cursor: Cursor, step: number,
   *     onZoom?: (from: number, to: number) => void}} options step: ms between two points
   */
  constructor({ title, note = "", series, bars = false, cursor, step, onZoom }) {
    this.series = series;
    this.bars = bars;
    this.cursor = cursor;
    this.step = step;
    this.onZoom = onZoom;
    /** @type {Points[]} */
    this.lines = series.map(() => []);
    this.from = 0;
    this.to = 1;
    /** @type {import("./chart-shapes.js").Threshold[]} */
    this.thresholds = [];
    /** @type {import("./chart-shapes.js").Episode[]} */
    this.episodes = [];
    /** @type {import("./chart-shapes.js").Frame|null} */
    this.frame = null;
    this.title = title;
    this.plot = svg("svg", { class: "chart-plot", tabindex: "0", role: "img", height: HEIGHT, "aria-keyshortcuts": "ArrowLeft ArrowRight Shift+ArrowLeft Shift+ArrowRight Enter Escape" });
    this.when = h("span", { class: "chart-when" });
    this.values = series.map(({ label, tone }) => ({
      key: h("span", { class: `key key-${tone}` }, series.length > 1 ? label : ""),
      value: h("span", { class: "chart-value" }),
    }));
    this.note = h("span", { class: "chart-note" }, note && ` ${note}`);
    this.empty = h("p", { class: "chart-empty", hidden: true });
    this.alert = h("p", { class: "chart-alert", hidden: true });
    this.spoken = h("p", { class: "unseen", role: "status" });
    this.element = h(
      "figure",
      { class: "chart panel" },
      h(
        "figcaption",
        { class: "chart-head" },
        h("span", { class: "chart-title" }, title, this.note),
        h("span", { class: "chart-legend" }, this.when, ...this.values.map(({ key, value }) => h("span", { class: "chart-entry" }, key, value))),
      ),
      h("div", { class: "chart-area" }, this.plot, this.empty, this.alert),
      this.spoken,
    );
    this.draw = oncePerFrame(() => this.#draw());
    this.resized = new ResizeObserver(this.draw);
    this.resized.observe(this.plot);
    cursor.charts.add(this.draw);
    this.#listen();
  }

  /** @param {Record<string, Points>} points by metric @param {number} from epoch ms @param {number} to @param {number} [step] */
  update(points, from, to, step = this.step) {
    this.lines = this.series.map(({ metric }) => (points[metric] ?? []).filter(([time]) => time >= from && time <= to + step));
    this.from = from;
    this.to = to;
    this.step = step;
    this.draw();
  }

  /** Draw in what belongs to the figures. @param {{thresholds?: import("./chart-shapes.js").Threshold[], episodes?: import("./chart-shapes.js").Episode[]}} notes */
  annotate({ thresholds = this.thresholds, episodes = this.episodes }) {
    const own = this.series.map(({ metric }) => metric);
    this.thresholds = thresholds.filter(({ metric }) => own.includes(metric));
    this.episodes = episodes;
    this.draw();
  }

  /** Say why there is nothing to see, "" for the chart's own words. @param {string} text */
  explain(text) {
    this.explanation = text;
  }

  /** @param {string} note what follows the title */
  setNote(note) {
    setText(this.note, note === "" ? "" : ` ${note}`);
  }

  close() {
    this.resized.disconnect();
    this.cursor.charts.delete(this.draw);
  }

  #listen() {
    const { plot, cursor } = this;
    plot.addEventListener("pointermove", (event) => {
      const { clientX, buttons } = /** @type {PointerEvent} */ (event);
      cursor.move(this.#timeAt(clientX), buttons === 0 ? null : cursor.anchor);
    });
    plot.addEventListener("pointerdown", (event) => {
      const { button, clientX, pointerId } = /** @type {PointerEvent} */ (event);
      if (button !== 0 || this.onZoom === undefined) return;
      this.pressed = clientX;
      plot.setPointerCapture(pointerId);
      cursor.move(this.#timeAt(clientX), this.#timeAt(clientX));
    });
    plot.addEventListener("pointerup", (event) => {
      const { clientX } = /** @type {PointerEvent} */ (event);
      if (this.pressed !== undefined && Math.abs(clientX - this.pressed) >= LEAST_DRAG) this.#choose();
      else cursor.move(cursor.time);
      this.pressed = undefined;
    });
    plot.addEventListener("pointercancel", () => {
      this.pressed = undefined;
      cursor.move(null);
    });
    plot.addEventListener("pointerleave", () => this.pressed === undefined && cursor.move(null));
    plot.addEventListener("blur", () => cursor.move(null));
    plot.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)));
  }

  #draw() {
    const { lines, series, thresholds, from, to, step, cursor } = this;
    const width = Math.max(160, this.plot.clientWidth);
    const { frame, parts } = axes({ lines, series, thresholds, from, to, step, width, widthOf: (text) => this.#widthOf(text) });
    this.frame = frame;
    parts.unshift(...episodeBands(this.episodes, frame));
    lines.forEach((points, index) => parts.push(...(this.bars ? bars(points, series[index].tone, frame) : line(points, series[index].tone, frame, series.length === 1))));
    parts.push(...thresholdLines(thresholds, frame));
    if (cursor.time !== null && cursor.time >= from && cursor.time <= to) parts.push(...cursorMarks(cursor.time, lines, series, !this.bars, frame));
    if (cursor.time !== null && cursor.anchor !== null && cursor.anchor !== cursor.time) parts.push(selection(cursor.anchor, cursor.time, frame));
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.plot.replaceChildren(...parts);
    this.empty.hidden = lines.some((points) => points.some(([, value]) => value !== null));
    setText(this.empty, this.explanation || "No data in this time");
    this.#tell();
  }

  /** @param {string} text @returns {number} px that it takes at an axis */
  #widthOf(text) {
    this.pen ??= /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
    this.pen.font = `11px ${getComputedStyle(this.plot).fontFamily}`;
    return this.pen.measureText(text).width;
  }

  /** Show the values at the cursor, else the last ones. */
  #tell() {
    const { time } = this.cursor;
    const at = time === null ? "" : this.to - this.from > 86_400_000 ? moment(new Date(time), new Date()) : clock(new Date(time));
    setText(this.when, at);
    const told = this.lines.map((points, index) => {
      const point = time === null ? points[points.length - 1] : nearest(points, time, this.step);
      const text = asText(figure(this.series[index].metric, point?.[1]));
      setText(this.values[index].value, text);
      return `${this.series[index].label} ${text}`;
    });
    const now = time ?? this.to;
    const episodes = this.episodes.filter(({ from, to }) => from <= now && (to ?? Infinity) >= now);
    const alerts = episodes.map(({ title, severity }) => `${title} (${severity})`);
    this.alert.hidden = time === null || alerts.length === 0;
    setText(this.alert, alerts.join(", "));
    const spoken = [time === null ? "Latest" : at, ...told, ...alerts].join(", ");
    this.plot.setAttribute("aria-label", `${this.title} from ${hourMinute(new Date(this.from))} to ${hourMinute(new Date(this.to))}. ${spoken}${this.#limits()}`);
    if (this.byKey) setText(this.spoken, spoken);
    this.byKey = false;
  }

  #limits() {
    return this.thresholds.map(({ label, metric, value }) => `. ${label}: ${asText(figure(metric, value))}`).join("");
  }

  /** @param {number} clientX @returns {number} the whole step there */
  #timeAt(clientX) {
    const box = this.plot.getBoundingClientRect();
    const left = this.frame?.left ?? 0;
    const share = (clientX - box.left - left) / (box.width - left - 2);
    return this.#snap(this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from));
  }

  /** @param {number} time @returns {number} the nearest moment that has a point */
  #snap(time) {
    const near = nearest(this.lines[0], time, this.step);
    return near === null ? Math.round(time / this.step) * this.step : near[0];
  }

  /** Look at the part that was chosen, at least five minutes of it. */
  #choose() {
    const { time, anchor } = this.cursor;
    this.cursor.move(null);
    if (time === null || anchor === null || time === anchor || this.onZoom === undefined) return;
    const [from, to] = [Math.min(time, anchor), Math.max(time, anchor)];
    const more = Math.max(0, SHORTEST - (to - from)) / 2;
    this.onZoom(from - more, to + more);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { cursor } = this;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move !== undefined) {
      event.preventDefault();
      this.byKey = true;
      const before = cursor.time ?? this.to;
      const time = Math.min(this.to, Math.max(this.from, this.#snap(before + move * this.step)));
      cursor.move(time, event.shiftKey && this.onZoom !== undefined ? (cursor.anchor ?? before) : null);
    } else if (event.key === "Enter" && cursor.anchor !== null) {
      event.preventDefault();
      this.#choose();
    } else if (event.key === "Escape") {
      cursor.move(null);
    }
  }
}
