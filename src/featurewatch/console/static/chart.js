// A chart of an hour: axes, one or more lines with holes where nothing is known, and a cursor that all charts share.

import { h, oncePerFrame, setText, svg } from "./kit/dom.js";
import { asText, figure, hourMinute, clock } from "./kit/format.js";
import { nearest, runs, ticks, timeTicks } from "./scale.js";

/** @typedef {[number, number|null][]} Points epoch ms and value, ascending */
/** @typedef {{metric: string, label: string, tone: string}} Series */

const HEIGHT = 168;
const TOP = 8;
const BOTTOM = 20;

/** One moment that is pointed at, in all charts of a page. */
export class Cursor {
  constructor() {
    /** @type {number|null} epoch ms */
    this.time = null;
    /** @type {Set<() => void>} */
    this.charts = new Set();
  }

  /** @param {number|null} time */
  move(time) {
    if (time === this.time) return;
    this.time = time;
    for (const draw of this.charts) draw();
  }
}

export class Chart {
  /**
   * @param {{title: string, note?: string, series: Series[], bars?: boolean, cursor: Cursor, step: number}} options
   *     step: ms between two points
   */
  constructor({ title, note = "", series, bars = false, cursor, step }) {
    this.series = series;
    this.bars = bars;
    this.cursor = cursor;
    this.step = step;
    /** @type {Record<string, Points>} */
    this.points = {};
    this.from = 0;
    this.to = 1;
    this.title = title;
    this.plot = svg("svg", { class: "chart-plot", tabindex: "0", role: "img", height: HEIGHT });
    this.when = h("span", { class: "chart-when" });
    this.values = series.map(({ label, tone }) => ({
      key: h("span", { class: `key key-${tone}` }, series.length > 1 ? label : ""),
      value: h("span", { class: "chart-value" }),
    }));
    this.empty = h("p", { class: "chart-empty", hidden: true }, "No data in the last hour");
    this.element = h(
      "figure",
      { class: "chart panel" },
      h(
        "figcaption",
        { class: "chart-head" },
        h("span", { class: "chart-title" }, title, note && h("span", { class: "chart-note" }, ` ${note}`)),
        h("span", { class: "chart-legend" }, this.when, ...this.values.map(({ key, value }) => h("span", { class: "chart-entry" }, key, value))),
      ),
      h("div", { class: "chart-area" }, this.plot, this.empty),
    );
    this.draw = oncePerFrame(() => this.#draw());
    this.resized = new ResizeObserver(this.draw);
    this.resized.observe(this.plot);
    cursor.charts.add(this.draw);
    this.plot.addEventListener("pointermove", (event) => cursor.move(this.#timeAt(/** @type {PointerEvent} */ (event).clientX)));
    this.plot.addEventListener("pointerleave", () => cursor.move(null));
    this.plot.addEventListener("blur", () => cursor.move(null));
    this.plot.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)));
  }

  /** @param {Record<string, Points>} points by metric @param {number} from epoch ms @param {number} to */
  update(points, from, to) {
    this.points = Object.fromEntries(this.series.map(({ metric }) => [metric, (points[metric] ?? []).filter(([time]) => time >= from)]));
    this.from = from;
    this.to = to;
    this.draw();
  }

  close() {
    this.resized.disconnect();
    this.cursor.charts.delete(this.draw);
  }

  #draw() {
    const width = Math.max(160, this.plot.clientWidth);
    const lines = this.series.map(({ metric }) => this.points[metric] ?? []);
    const most = lines.flat().reduce((max, [, value]) => Math.max(max, value ?? 0), 0);
    const marks = ticks(most);
    const top = marks[marks.length - 1];
    // The title says "per minute": repeated at each tick it would only take the room.
    const labels = marks.map((mark) => asText(figure(this.series[0].metric, mark)).replace("/min", ""));
    const left = 10 + Math.max(...labels.map((text) => this.#widthOf(text)));
    const x = (/** @type {number} */ time) => left + ((time - this.from) / (this.to - this.from)) * (width - left - 2);
    const y = (/** @type {number} */ value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    this.left = left;
    const parts = [];
    marks.forEach((mark, index) => {
      const at = Math.round(y(mark)) + 0.5;
      parts.push(svg("path", { class: index === 0 ? "axis" : "grid", d: `M${left} ${at}H${width}` }));
      parts.push(svg("text", { class: "tick", x: left - 8, y: at + 3.5, "text-anchor": "end" }, labels[index]));
    });
    for (const time of timeTicks(this.from, this.to, Math.max(2, Math.floor((width - left) / 72)))) {
      const at = x(time);
      if (at < left + 14 || at > width - 16) continue;
      parts.push(svg("text", { class: "tick", x: at, y: HEIGHT - 4, "text-anchor": "middle" }, hourMinute(new Date(time))));
    }
    lines.forEach((points, index) => parts.push(...this.#marks(points, this.series[index].tone, x, y)));
    parts.push(...this.#cursor(lines, x, y));
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.plot.replaceChildren(...parts);
    const known = lines.some((points) => points.some(([, value]) => value !== null));
    this.empty.hidden = known;
    this.#tell(lines);
  }

  /** @param {Points} points @param {string} tone @param {(time: number) => number} x @param {(value: number) => number} y */
  #marks(points, tone, x, y) {
    const zero = y(0);
    if (this.bars) {
      const slot = x(this.from + this.step) - x(this.from);
      const between = Math.min(2, slot * 0.3);
      const d = points
        .filter(([, value]) => value !== null && value > 0)
        .map(([time, value]) => {
          // A bar stands on the step it covers; the one that still runs grows from where the last whole one ended.
          const begin = Math.max(this.from, Math.ceil(time / this.step - 1) * this.step);
          const wide = Math.max(1, x(time) - x(begin) - between);
          const height = Math.max(1, zero - y(/** @type {number} */ (value)));
          return `M${(x(time) - wide).toFixed(1)} ${zero.toFixed(1)}v${(-height).toFixed(1)}h${wide.toFixed(1)}V${zero.toFixed(1)}z`;
        });
      return [svg("path", { class: `bars tone-${tone}`, d: d.join("") })];
    }
    const found = runs(points, this.step);
    const line = found.map((run) => {
      const path = run.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
      // A lone point between holes would be an empty path: a dot of no length with round caps shows it.
      return `M${path}${run.length === 1 ? "h0" : ""}`;
    });
    const marks = [svg("path", { class: `line tone-${tone}`, d: line.join("") })];
    if (this.series.length === 1) {
      const area = found.map((run) => {
        const path = run.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
        return `M${x(run[0][0]).toFixed(1)} ${zero}L${path}L${x(run[run.length - 1][0]).toFixed(1)} ${zero}z`;
      });
      marks.unshift(svg("path", { class: `area tone-${tone}`, d: area.join("") }));
    }
    return marks;
  }

  /** @param {string} text @returns {number} px that it takes at an axis */
  #widthOf(text) {
    this.pen ??= /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
    this.pen.font = `11px ${getComputedStyle(this.plot).fontFamily}`;
    return this.pen.measureText(text).width;
  }

  /** @param {Points[]} lines @param {(time: number) => number} x @param {(value: number) => number} y */
  #cursor(lines, x, y) {
    if (this.cursor.time === null) return [];
    const at = x(this.cursor.time);
    const parts = [svg("path", { class: "cursor", d: `M${at.toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` })];
    lines.forEach((points, index) => {
      const point = nearest(points, /** @type {number} */ (this.cursor.time), this.step);
      if (point === null || point[1] === null || this.bars) return;
      parts.push(svg("circle", { class: `dot tone-${this.series[index].tone}`, cx: x(point[0]), cy: y(point[1]), r: 3.5 }));
    });
    return parts;
  }

  /** Show the values at the cursor, else the last ones. @param {Points[]} lines */
  #tell(lines) {
    const time = this.cursor.time;
    setText(this.when, time === null ? "" : clock(new Date(time)));
    const told = lines.map((points, index) => {
      const point = time === null ? points[points.length - 1] : nearest(points, time, this.step);
      const text = asText(figure(this.series[index].metric, point?.[1]));
      setText(this.values[index].value, text);
      return `${this.series[index].label} ${text}`;
    });
    this.plot.setAttribute("aria-label", `${this.title} from ${hourMinute(new Date(this.from))} to ${hourMinute(new Date(this.to))}. ${time === null ? "Latest" : clock(new Date(time))}: ${told.join(", ")}`);
  }

  /** @param {number} clientX @returns {number} the whole step there */
  #timeAt(clientX) {
    const box = this.plot.getBoundingClientRect();
    const left = this.left ?? 0;
    const share = (clientX - box.left - left) / (box.width - left - 2);
    const time = this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
    return this.#snap(time);
  }

  /** @param {number} time @returns {number} the nearest moment that has a point */
  #snap(time) {
    const near = nearest(this.points[this.series[0].metric] ?? [], time, this.step);
    return near === null ? Math.round(time / this.step) * this.step : near[0];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move !== undefined) {
      event.preventDefault();
      const from = this.cursor.time ?? this.to;
      this.cursor.move(Math.min(this.to, Math.max(this.from, this.#snap(from + move * this.step))));
    } else if (event.key === "Escape") {
      this.cursor.move(null);
    }
  }
}
