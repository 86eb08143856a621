// What a chart draws, as SVG elements: axes, lines and bars, thresholds, alert episodes, the selection.

import { svg } from "./kit/dom.js";
import { asText, dayMonth, figure, hourMinute } from "./kit/format.js";
import { nearest, runs, ticks, timeTicks } from "./scale.js";

export const HEIGHT = 168;
const TOP = 8;
const BOTTOM = 20;
/** How high a line of text is. */
const TEXT = 13;
const DAY = 86_400_000;

/**
 * @typedef {[number, number|null][]} Points epoch ms and value, ascending
 * @typedef {{metric: string, label: string, tone: string}} Series
 * @typedef {{metric: string, value: number, label: string, severity?: string}} Threshold severity: that of the rule, absent where health alone looks at it
 * @typedef {{from: number, to: number|null, title: string, severity: string, status?: string}} Episode
 *     to: null while it lasts
 *
 * @typedef {object} Frame  where things are
 * @property {number} width @property {number} left @property {number} from @property {number} to
 * @property {number} top   the highest value
 * @property {number} step  ms between two points
 * @property {(time: number) => number} x
 * @property {(value: number) => number} y
 * @property {(text: string) => number} widthOf pixels
 */

/**
 * Lay out a chart's axes.
 * @param {{lines: Points[], series: Series[], thresholds: Threshold[], from: number, to: number, step: number, width: number, widthOf: (text: string) => number}} chart
 * @returns {{frame: Frame, parts: SVGElement[]}}
 */
export function axes({ lines, series, thresholds, from, to, step, width, widthOf }) {
  const most = lines.flat().reduce((max, [, value]) => Math.max(max, value ?? 0), 0);
  // A threshold far above would press the line to the ground: it is told at the upper edge instead.
  const near = thresholds.filter(({ value }) => value <= most * 4 || most === 0).map(({ value }) => value * 1.08);
  const marks = ticks(Math.max(most, ...near));
  const top = marks[marks.length - 1];
  // The title says "per minute": repeated at each tick it would only take the room.
  const labels = marks.map((mark) => asText(figure(series[0].metric, mark)).replace("/min", ""));
  const left = 10 + Math.max(...labels.map(widthOf));
  const x = (/** @type {number} */ time) => left + ((time - from) / (to - from)) * (width - left - 2);
  const y = (/** @type {number} */ value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const parts = marks.flatMap((mark, index) => {
    const at = Math.round(y(mark)) + 0.5;
    return [
      svg("path", { class: index === 0 ? "axis" : "grid", d: `M${left} ${at}H${width}` }),
      svg("text", { class: "tick", x: left - 8, y: at + 3.5, "text-anchor": "end" }, labels[index]),
    ];
  });
  const days = to - from > 2 * DAY;
  for (const time of timeTicks(from, to, Math.max(2, Math.floor((width - left) / 72)))) {
    const at = x(time);
    if (at < left + 14 || at > width - 16) continue;
    const date = new Date(time);
    parts.push(svg("text", { class: "tick", x: at, y: HEIGHT - 4, "text-anchor": "middle" }, days ? dayMonth(date) : hourMinute(date)));
  }
  return { frame: { width, left, from, to, top, step, x, y, widthOf }, parts };
}

/** @param {Points} points @param {string} tone @param {Frame} frame */
export function bars(points, tone, { x, y, from, step }) {
  const zero = y(0);
  const slot = x(from + step) - x(from);
  const between = Math.min(2, slot * 0.3);
  const d = points
    .filter(([time, value]) => time > from && value !== null && value > 0)
    .map(([time, value]) => {
      // A bar stands on the step it covers; the one that still runs grows from where the last whole one ended.
      const begin = Math.max(from, Math.ceil(time / step - 1) * step);
      const wide = Math.max(1, x(time) - x(begin) - between);
      const height = Math.max(1, zero - y(/** @type {number} */ (value)));
      return `M${(x(time) - wide).toFixed(1)} ${zero.toFixed(1)}v${(-height).toFixed(1)}h${wide.toFixed(1)}V${zero.toFixed(1)}z`;
    });
  return [svg("path", { class: `bars tone-${tone}`, d: d.join("") })];
}

/** @param {Points} points @param {string} tone @param {Frame} frame @param {boolean} filled */
export function line(points, tone, { x, y, step }, filled) {
  const zero = y(0);
  const found = runs(points, step);
  const paths = found.map((run) => run.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("L"));
  // A lone point between holes would be an empty path: a dot of no length with round caps shows it.
  const stroke = svg("path", { class: `line tone-${tone}`, d: paths.map((path, index) => `M${path}${found[index].length === 1 ? "h0" : ""}`).join("") });
  if (!filled) return [stroke];
  const area = paths.map((path, index) => {
    const run = found[index];
    return `M${x(run[0][0]).toFixed(1)} ${zero}L${path}L${x(run[run.length - 1][0]).toFixed(1)} ${zero}z`;
  });
  return [svg("path", { class: `area tone-${tone}`, d: area.join("") }), stroke];
}

/** Thresholds that lie together have their names side by side; those without room are counted. @param {Threshold[]} thresholds @param {Frame} frame */
export function thresholdLines(thresholds, { left, width, top, y, widthOf }) {
  /** @type {{at: number, end: number, more: number}[]} lines of text */
  const rows = [];
  const parts = [];
  for (const { value, label, severity = "none", metric } of thresholds) {
    const above = value > top;
    const at = above ? TOP : Math.round(y(value)) + 0.5;
    if (!above) parts.push(svg("path", { class: "threshold", "data-severity": severity, d: `M${left} ${at}H${width}` }));
    const mark = above ? "↑ " : "";
    const limit = ` ${asText(figure(metric, value))}`;
    const wide = widthOf(mark + label + limit);
    const base = at < TOP + 14 ? at + 12 : at - 5;
    let row = rows.find((one) => Math.abs(one.at - base) < TEXT);
    if (row === undefined) rows.push((row = { at: base, end: left + 4, more: 0 }));
    else if (row.more > 0 || row.end + wide > width - 30) {
      row.more += 1;
      continue;
    }
    parts.push(svg("text", { class: "threshold-text", "data-severity": severity, x: row.end, y: row.at }, mark, svg("tspan", { class: "threshold-name" }, label), limit));
    row.end += wide + 14;
  }
  return [...parts, ...rows.filter(({ more }) => more > 0).map(({ at, end, more }) => svg("text", { class: "threshold-text", x: end, y: at }, `+${more}`))];
}

/** @param {Episode[]} episodes @param {Frame} frame */
export function episodeBands(episodes, { from, to, left, width, x }) {
  return episodes
    .filter((episode) => episode.from < to && (episode.to ?? to) > from)
    .map((episode) => {
      const begin = Math.max(left, x(episode.from));
      const end = Math.min(width - 2, x(episode.to ?? to));
      const wide = Math.max(2, end - begin);
      return svg(
        "g",
        { class: "episode", "data-severity": episode.severity },
        svg("rect", { class: "episode-band", x: begin, y: TOP, width: wide, height: HEIGHT - TOP - BOTTOM }),
        svg("rect", { class: "episode-edge", x: begin, y: HEIGHT - BOTTOM - 1, width: wide, height: 3 }),
      );
    });
}

/** @param {number} time @param {Points[]} lines @param {Series[]} series @param {boolean} dots @param {Frame} frame */
export function cursorMarks(time, lines, series, dots, { x, y, step }) {
  const at = x(time).toFixed(1);
  const parts = [svg("path", { class: "cursor", d: `M${at} ${TOP}V${HEIGHT - BOTTOM}` })];
  lines.forEach((points, index) => {
    const point = nearest(points, time, step);
    if (!dots || point === null || point[1] === null) return;
    parts.push(svg("circle", { class: `dot tone-${series[index].tone}`, cx: x(point[0]), cy: y(point[1]), r: 3.5 }));
  });
  return parts;
}

/** @param {number} one @param {number} other @param {Frame} frame */
export function selection(one, other, { x }) {
  const begin = x(Math.min(one, other));
  return svg("rect", { class: "selection", x: begin, y: TOP, width: Math.max(1, x(Math.max(one, other)) - begin), height: HEIGHT - TOP - BOTTOM });
}
