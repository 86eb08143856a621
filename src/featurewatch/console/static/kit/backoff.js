// When to try again: exponential, capped, with jitter, so that a restart does not meet every client at once.

/**
 * @param {number} attempt 0 for the first retry
 * @param {() => number} random in [0, 1)
 * @param {{first?: number, most?: number}} [limits] milliseconds
 * @returns {number} milliseconds, within [half, whole] of the step's delay
 */
export function backoff(attempt, random, { first = 500, most = 30_000 } = {}) {
  const whole = Math.min(most, first * 2 ** Math.min(attempt, 30));
  return whole / 2 + (random() * whole) / 2;
}
