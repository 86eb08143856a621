// How values read: text for people, from the wire's numbers. What is unknown is a dash, never 0.

export const UNKNOWN = "—";

/**
 * @typedef {object} Shown
 * @property {string} value the number as text
 * @property {string} unit  its unit, "" where the value carries it or needs none
 */

/** @type {Record<string, {label: string, short: string, unit: string, help: string}>} */
export const FIGURES = {
  uptime: { label: "Uptime", short: "Uptime", unit: "percent", help: "Minutes with traffic in which most calls worked, over 24 hours" },
  error_rate: { label: "Error rate", short: "Errors", unit: "percent", help: "Failed calls among those that succeeded or failed" },
  success_rate: { label: "Success rate", short: "Success", unit: "percent", help: "Successful calls among those that succeeded or failed" },
  response_time: { label: "Mean response", short: "Mean", unit: "ms", help: "Mean duration of a call" },
  response_time_p50: { label: "Response time p50", short: "p50", unit: "ms", help: "Half of the calls are faster" },
  response_time_p95: { label: "Response time p95", short: "p95", unit: "ms", help: "95 of 100 calls are faster" },
  response_time_p99: { label: "Response time p99", short: "p99", unit: "ms", help: "99 of 100 calls are faster" },
  time_to_first_token_p95: { label: "First token p95", short: "First token", unit: "ms", help: "95 of 100 calls gave their first token sooner" },
  total_requests: { label: "Requests", short: "Requests", unit: "count", help: "Calls that ended, cancelled ones included" },
  requests_per_minute: { label: "Requests per minute", short: "Req/min", unit: "rate", help: "Calls that ended, by minute" },
  total_cost: { label: "Cost", short: "Cost", unit: "usd", help: "Cost of all calls, reported and estimated" },
  cost_per_request: { label: "Cost per request", short: "Cost/req", unit: "usd", help: "Mean cost of a call" },
  tokens_per_request: { label: "Tokens per request", short: "Tokens/req", unit: "count", help: "Mean input and output tokens of a call" },
};

/** @param {number} value @param {Intl.NumberFormatOptions} options */
const localised = (value, options) => new Intl.NumberFormat(undefined, options).format(value);

/** Keep three digits that say something: 246.8 → 247, 24.68 → 24.7, 2.468 → 2.47. @param {number} value */
function threeDigits(value) {
  const size = Math.abs(value);
  const digits = size >= 99.95 || Number.isInteger(value) ? 0 : size >= 9.995 ? 1 : 2;
  return localised(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** @param {number} value @returns {Shown} */
export function count(value) {
  if (Math.abs(value) < 100_000) return { value: threeDigits(value), unit: "" };
  return { value: localised(value, { notation: "compact", maximumSignificantDigits: 3 }), unit: "" };
}

/** @param {number} value 0 to 100 @returns {Shown} */
export function percent(value) {
  // 99.996 must not read as 100: what falls short of whole is cut, not rounded.
  const cut = value > 99 && value < 100 ? Math.floor(value * 100) / 100 : value;
  const digits = Number.isInteger(cut) ? 0 : cut > 99 || cut < 9.995 ? 2 : 1;
  return { value: localised(cut, { minimumFractionDigits: digits, maximumFractionDigits: digits }), unit: "%" };
}

/** @param {number} value milliseconds @returns {Shown} */
export function duration(value) {
  if (value < 999.5) return { value: threeDigits(value < 10 ? value : Math.round(value)), unit: "ms" };
  if (value < 59_995) return { value: threeDigits(value / 1000), unit: "s" };
  const seconds = Math.round(value / 1000);
  return { value: `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`, unit: "min" };
}

/** @param {number} value US dollars @returns {Shown} */
export function usd(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 0.000001) return { value: "<$0.000001", unit: "" };
  const digits = size === 0 ? 0 : size >= 100_000 ? 0 : size >= 0.1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(size)));
  const amount = localised(value, { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits });
  return { value: `$${amount}`, unit: "" };
}

/** @type {Record<string, (value: number) => Shown>} */
const BY_UNIT = {
  percent,
  ms: duration,
  usd,
  count,
  rate: (value) => ({ ...count(value), unit: "/min" }),
};

/**
 * Show a figure of the wire by its name.
 * @param {string} name a key of FIGURES @param {number|null|undefined} value @returns {Shown}
 */
export function figure(name, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return { value: UNKNOWN, unit: "" };
  return BY_UNIT[FIGURES[name].unit](value);
}

/** @param {Shown} shown */
export function asText({ value, unit }) {
  return unit === "" ? value : unit.startsWith("/") ? value + unit : `${value} ${unit}`;
}

/** Put the names of figures, as health reasons write them, into words. @param {string} reason */
export function readable(reason) {
  const text = reason.replace(/\b[a-z]+(?:_[a-z0-9]+)+\b/g, (name) => FIGURES[name]?.label.toLowerCase() ?? name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {number} seconds a window's length */
export function span(seconds) {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

/** @param {Date} date @returns {string} local 14:03:22.123 */
export function clockMs(date) {
  return `${clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {Date} date @returns {string} local 14:03:22 */
export function clock(date) {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** @param {Date} date @returns {string} local 14:03 */
export function hourMinute(date) {
  return clock(date).slice(0, 5);
}

/** @param {Date} date @returns {string} such as 25 Nov */
export function dayMonth(date) {
  return new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }).format(date);
}

/** A moment as people say it today: the time alone, with the day where it is another one. @param {Date} date @param {Date} now */
export function moment(date, now) {
  if (date.toDateString() === now.toDateString()) return clock(date);
  return `${dayMonth(date)}, ${hourMinute(date)}`;
}

/** @param {number} milliseconds @returns {string} such as "3 s ago" */
export function ago(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 100) return `${seconds} s ago`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} d ago`;
}
