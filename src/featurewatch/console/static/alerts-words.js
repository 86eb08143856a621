// How alerts and rules read: severities, conditions, values beside thresholds, how long. Pure.

import { FIGURES, UNKNOWN, asText, count, figure } from "./kit/format.js";
import { plain } from "./kit/plain-text.js";

/**
 * @typedef {"low"|"medium"|"high"|"critical"} Severity
 * @typedef {object} Alert
 * @property {string} id @property {string} ruleId @property {string} featureId @property {string} title @property {string} message
 * @property {Severity} severity @property {"active"|"acknowledged"|"resolved"} status
 * @property {string} triggered_at @property {string} [acknowledged_at] @property {string} [acknowledged_by]
 * @property {string} [resolved_at] @property {string} [resolved_by] @property {string} [resolve_reason]
 * @property {string} environment @property {boolean} condition_active @property {Record<string, any>} metadata
 */

/** @type {Severity[]} the worst first */
export const SEVERITIES = ["critical", "high", "medium", "low"];

/** @type {Record<string, {label: string, icon: string}>} */
export const SEVERITY = {
  critical: { label: "Critical", icon: "error" },
  high: { label: "High", icon: "error" },
  medium: { label: "Medium", icon: "warning" },
  low: { label: "Low", icon: "bell" },
};

/** @type {Record<string, string>} */
export const CONDITIONS = { greater_than: "above", less_than: "below", equals: "equal to" };

/** @type {Record<string, string>} */
export const STATUSES = { active: "Active", acknowledged: "Acknowledged", resolved: "Resolved" };

/** @type {Record<string, string>} */
const ENDS = {
  recovered: "recovered",
  no_data: "no data any more",
  rule_removed: "its rule was removed or switched off",
  rule_changed: "its rule was changed",
  manual: "closed by hand",
  unknown: "why is not known",
};

export const LINES = "log_entries";

/** @param {string} metric */
export function labelOf(metric) {
  return metric === LINES ? "Log lines" : (FIGURES[metric]?.label ?? metric);
}

/** Name the unit that a metric's threshold is typed in. @param {string} metric */
export function unitOf(metric) {
  if (metric === LINES) return "lines";
  if (metric === "requests_per_minute") return "per minute";
  if (metric === "tokens_per_request") return "tokens";
  return { percent: "%", ms: "ms", usd: "US$", count: "requests" }[FIGURES[metric]?.unit] ?? "";
}

/** Show a value of a metric; text, such as "no data", stays as it is. @param {string} metric @param {unknown} value */
export function valueText(metric, value) {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value !== "number" || !Number.isFinite(value)) return UNKNOWN;
  return metric in FIGURES ? asText(figure(metric, value)) : asText(count(value));
}

/** Show a threshold in all the digits that people typed. @param {string} metric @param {number} threshold */
export function limitText(metric, threshold) {
  const exact = (/** @type {number} */ value) => new Intl.NumberFormat(undefined, { maximumFractionDigits: 12 }).format(value);
  const unit = FIGURES[metric]?.unit;
  if (unit === "percent") return `${exact(threshold)} %`;
  if (unit === "ms") return threshold < 1000 ? `${exact(threshold)} ms` : `${exact(threshold / 1000)} s`;
  if (unit === "usd") return `$${exact(threshold)}`;
  return unit === "rate" ? `${exact(threshold)}/min` : exact(threshold);
}

/** Say what a rule asks, such as "Error rate above 20 %". @param {{metric: string, condition: string, threshold: number}} rule */
export function conditionText({ metric, condition, threshold }) {
  return `${labelOf(metric)} ${CONDITIONS[condition] ?? condition} ${limitText(metric, threshold)}`;
}

/** Say what an alert was about: its value and the threshold, each "" where it is not known. @param {Alert} alert */
export function factsOf({ metadata, message }) {
  const { metric = "", trigger_value: value, threshold, condition } = metadata;
  if (metric === "" || value === undefined || threshold === undefined) return { label: "", value: "", limit: "", message };
  return { label: labelOf(metric), value: valueText(metric, value), limit: `${CONDITIONS[condition] ?? ""} ${limitText(metric, Number(threshold))}`.trim(), message };
}

/** @param {number} milliseconds @returns {string} two units at most, such as "2 h 5 min" */
export function lasted(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  const two = (/** @type {number} */ whole, /** @type {string} */ unit, /** @type {number} */ rest, /** @type {string} */ small) => (rest === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${small}`);
  return hours < 48 ? two(hours, "h", minutes % 60, "min") : two(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** @param {number} minutes @returns {string} */
export function minutesText(minutes) {
  return minutes === 0 ? "at once" : lasted(minutes * 60_000);
}

/** Say how long an alert has fired, or did. @param {Alert} alert @param {number} now epoch ms */
export function durationOf(alert, now) {
  const end = alert.resolved_at === undefined ? now : Date.parse(alert.resolved_at);
  return lasted(end - Date.parse(alert.triggered_at));
}

/** Say how an alert ended. @param {Alert} alert */
export function endOf({ resolve_reason: reason = "unknown", resolved_by: by }) {
  if (reason === "manual") return by ? `closed by ${by}` : ENDS.manual;
  return ENDS[reason] ?? reason;
}

/** The worst first, then the newest. @param {Alert} one @param {Alert} other */
export function byUrgency(one, other) {
  return SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity) || other.triggered_at.localeCompare(one.triggered_at) || other.id.localeCompare(one.id);
}

/** Cut a text at its instants (ISO 8601), so that they can be shown in the reader's own time. @param {string} text @returns {(string|Date)[]} */
export function withInstants(text) {
  return text
    .split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/)
    .filter((part) => part !== "")
    .map((part) => (/^\d{4}-\d\d-\d\dT/.test(part) ? new Date(part) : part));
}

/** An alert as it can be looked at: what its rule is called, and what it says, is other people's text. @template {Alert} One @param {One} alert @returns {One} */
export function legible(alert) {
  return { ...alert, title: plain(alert.title), message: plain(alert.message) };
}

/** @param {string} text */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
