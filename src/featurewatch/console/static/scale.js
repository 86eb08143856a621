// From values to places on a chart. Pure.

/**
 * Choose round ticks from 0 to at least `most`.
 * @param {number} most @param {number} [about] how many steps are wanted
 * @returns {number[]} ascending, the first is 0
 */
export function ticks(most, about = 3) {
  const target = most > 0 && Number.isFinite(most) ? most : 1;
  const rough = target / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((part) => power * part >= rough * (1 - 1e-9)) ?? 10);
  const count = Math.ceil(target / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

/**
 * Choose the moments that an axis of time names: whole multiples of 5, 10, 15 … minutes, local.
 * @param {number} from epoch ms @param {number} to @param {number} about how many fit
 * @returns {number[]} epoch ms
 */
export function timeTicks(from, to, about) {
  const minute = 60_000;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 4320, 10_080].map((count) => count * minute);
  const step = steps.find((size) => (to - from) / size <= about) ?? steps[steps.length - 1];
  // Zones are offset by whole quarters of an hour: the step is counted in local time.
  const offset = new Date(from).getTimezoneOffset() * minute;
  const first = Math.ceil((from - offset) / step) * step + offset;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, index) => first + index * step);
}

/**
 * Cut points into runs without a hole: a null value or a missing step ends a run.
 * @param {[number, number|null][]} points ascending @param {number} step ms between neighbours
 * @returns {[number, number][][]}
 */
export function runs(points, step) {
  /** @type {[number, number][][]} */
  const found = [];
  let last = -Infinity;
  for (const [time, value] of points) {
    if (value === null) continue;
    if (time - last > step * 1.5) found.push([]);
    found[found.length - 1].push([time, value]);
    last = time;
  }
  return found;
}

/**
 * Join older points with newer ones: at the same moment the newer wins, what lies before `from` is dropped. Points
 * between whole steps are provisional (the minute that still runs) and stand only until newer ones come.
 * @param {[number, number|null][]} older @param {[number, number|null][]} newer @param {number} from @param {number} step
 * @returns {[number, number|null][]}
 */
export function joinPoints(older, newer, from, step) {
  const byTime = new Map(older.filter(([time]) => time % step === 0));
  for (const [time, value] of newer) byTime.set(time, value);
  return [...byTime].filter(([time]) => time >= from).sort((one, other) => one[0] - other[0]);
}

/**
 * Find the point nearest to a moment, within one and a half steps.
 * @param {[number, number|null][]} points @param {number} time @param {number} step
 */
export function nearest(points, time, step) {
  /** @type {[number, number|null]|null} */
  let best = null;
  for (const point of points) {
    if (best === null || Math.abs(point[0] - time) < Math.abs(best[0] - time)) best = point;
  }
  return best !== null && Math.abs(best[0] - time) <= step * 1.5 ? best : null;
}
