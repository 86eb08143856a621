// A feature's traffic in the height of a line: calls by step, the failed share of each in red.

import { svg } from "./kit/dom.js";

const STEP = 3;
const HEIGHT = 28;

/**
 * @param {[number, number|null][]} requests calls per minute, one point a step @param {[number, number|null][]} errorRates percent
 * @param {number} now epoch ms @param {import("./times.js").Range} range
 * @returns {SVGElement}
 */
export function trafficBars(requests, errorRates, now, { length, step, to }) {
  const failing = new Map(errorRates);
  const most = requests.reduce((max, [, value]) => Math.max(max, value ?? 0), 0);
  const places = Math.ceil(length / step);
  const end = Math.floor((to ?? now) / step) * step;
  // The step that still runs, where it is told, stands after the whole ones.
  const running = requests.some(([time]) => time > end) ? 1 : 0;
  const calls = [];
  const failed = [];
  for (const [time, value] of requests) {
    const place = time > end ? places - 1 : places - 1 - running - Math.round((end - time) / step);
    if (value === null || place < 0 || place >= places) continue;
    if (value === 0) continue;
    const height = Math.max(1.5, (value / most) * (HEIGHT - 2));
    const rate = failing.get(time) ?? 0;
    // Below one percent is good and stays calm; from there on a failure is seen however small its share.
    const red = rate < 1 ? 0 : Math.max(1.5, (height * Math.min(rate, 100)) / 100);
    const x = place * STEP + 0.5;
    if (height > red) calls.push(`M${x} ${round(HEIGHT - red)}v${-round(height - red)}h2v${round(height - red)}z`);
    if (red > 0) failed.push(`M${x} ${HEIGHT}v${-round(red)}h2v${round(red)}z`);
  }
  const width = places * STEP;
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "spark-base", d: `M0 ${HEIGHT - 0.5}H${width}` }),
    svg("path", { class: "spark-calls", d: calls.join("") }),
    svg("path", { class: "spark-failed", d: failed.join("") }),
  );
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}
