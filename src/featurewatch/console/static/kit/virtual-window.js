// Which rows of a long list are in sight. Pure arithmetic: every row has the same height, some have more.

/**
 * @typedef {[number, number][]} Extras
 * The rows that are taller: [index, extra pixels], ascending by index. Few rows are open at a time, so a walk over
 * them costs less than a tree would.
 */

/** @param {number} count @param {number} row @param {Extras} extras @returns {number} pixels */
export function totalHeight(count, row, extras) {
  return extras.reduce((sum, [, extra]) => sum + extra, count * row);
}

/** @param {number} index @param {number} row @param {Extras} extras @returns {number} pixels above the row */
export function offsetOf(index, row, extras) {
  let offset = index * row;
  for (const [at, extra] of extras) {
    if (at >= index) break;
    offset += extra;
  }
  return offset;
}

/** @param {number} offset @param {number} count @param {number} row @param {Extras} extras @returns {number} the row there */
export function indexAt(offset, count, row, extras) {
  let passed = 0;
  for (const [at, extra] of extras) {
    const bottom = (at + 1) * row + passed + extra;
    if (offset < bottom) {
      const top = at * row + passed;
      return offset >= top ? at : clamp(Math.floor((offset - passed) / row), count);
    }
    passed += extra;
  }
  return clamp(Math.floor((offset - passed) / row), count);
}

/**
 * @param {{top: number, height: number, count: number, row: number, extras: Extras, overscan?: number}} view
 * @returns {{first: number, end: number}} the rows to draw, `end` exclusive
 */
export function visibleRange({ top, height, count, row, extras, overscan = 8 }) {
  if (count === 0) return { first: 0, end: 0 };
  const first = indexAt(Math.max(0, top), count, row, extras);
  const last = indexAt(Math.max(0, top + height), count, row, extras);
  return { first: Math.max(0, first - overscan), end: Math.min(count, last + 1 + overscan) };
}

/** @param {number} index @param {number} count */
function clamp(index, count) {
  return Math.min(Math.max(index, 0), Math.max(count - 1, 0));
}
