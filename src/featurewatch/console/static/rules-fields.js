// The fields of an alert rule, as a form and as the body that the bridge takes.

import { Field, checks, radios, select, textInput, toggle, typedNumber } from "./alerts-form.js";
import { CONDITIONS, LINES, SEVERITIES, SEVERITY, minutesText, sentence, unitOf } from "./alerts-words.js";
import { h } from "./kit/dom.js";
import { FIGURES } from "./kit/format.js";

/** @typedef {Record<string, any> & {metric: string, condition: string, threshold: any}} Rule */

const LEVELS = ["debug", "info", "warn", "error", "fatal"];

/** What a new rule begins with: the bridge's own defaults. @type {Rule} */
export const NEW_RULE = {
  name: "", kind: "metric", metric: "error_rate", condition: "greater_than", threshold: null, severity: "high", window_minutes: 5, for_minutes: 1,
  keep_firing_minutes: 0, cooldown_minutes: 60, notification_channels: [], on_no_data: "ignore", environment: null, enabled: true, logs: { levels: ["error", "fatal"], search: "", source: "" },
};

export class RuleFields {
  /**
   * @param {Rule} rule @param {{channels: {name: string, kind: string}[], environments: string[], channelsLink: string}} known
   */
  constructor(rule, { channels, environments, channelsLink }) {
    this.rule = rule;
    const logs = rule.logs ?? NEW_RULE.logs;
    const name = textInput({ value: rule.name, maxlength: "200", placeholder: "Errors" });
    const kind = radios("kind", [["metric", "A figure"], ["logs", "Log lines"]], rule.kind, "What it watches");
    const metric = select(Object.entries(FIGURES).map(([one, { label }]) => [one, label]), rule.metric === LINES ? "error_rate" : rule.metric);
    const levels = checks(LEVELS.map((one) => [one, one]), logs.levels);
    const search = textInput({ value: logs.search, maxlength: "1000", placeholder: "timeout" });
    const source = textInput({ value: logs.source, maxlength: "256" });
    const condition = select(Object.entries(CONDITIONS).map(([one, text]) => [one, sentence(text)]), rule.condition);
    const threshold = textInput({ value: rule.threshold ?? "", inputmode: "decimal", class: "input input-number" });
    const severity = radios("severity", [...SEVERITIES].reverse().map((one) => [one, SEVERITY[one].label]), rule.severity, "Severity");
    const noData = radios("no-data", [["ignore", "Ignore it"], ["alert", "Alert on it"]], rule.on_no_data, "No data");
    const places = [...new Set([...environments, ...(rule.environment ? [rule.environment] : [])])].sort();
    const environment = select([["", "Each by itself"], ...places.map((one) => /** @type {[string, string]} */ ([one, one]))], rule.environment ?? "");
    const names = [...channels.map((one) => one.name), ...rule.notification_channels.filter((/** @type {string} */ one) => !channels.some((known) => known.name === one))];
    const people = checks(names.map((one) => [one, h("span", {}, one, " ", h("span", { class: "quiet" }, channels.find((known) => known.name === one)?.kind ?? "is gone"))]), rule.notification_channels);
    if (names.length === 0) people.element.append(h("p", { class: "quiet" }, "There is no channel yet. ", h("a", { href: channelsLink }, "Make one"), " to tell people."));
    const enabled = toggle("Enabled", rule.enabled);

    this.threshold = new Field({ name: "threshold", label: "Threshold", control: threshold, read: () => typedNumber(threshold.value) });
    this.windowField = minutes("window_minutes", "Looks at the last", rule.window_minutes, "What the figure is taken over.");
    this.forField = minutes("for_minutes", "Has to hold for", rule.for_minutes, "Before it fires; 0: at once.");
    const pairs = /** @type {const} */ ([
      ["name", new Field({ name: "name", label: "Name", control: name, read: () => name.value, wide: true })],
      ["kind", new Field({ name: "kind", label: "Watches", control: kind.element, read: kind.read, group: true, wide: true })],
      ["metric", new Field({ name: "metric", label: "Figure", control: metric, read: () => metric.value, wide: true })],
      ["levels", new Field({ name: "logs.levels", label: "Lines of level", control: levels.element, read: levels.read, group: true, help: "None chosen: all.", wide: true })],
      ["search", new Field({ name: "logs.search", label: "That contain", control: search, read: () => search.value, help: "In message, source or metadata, in whatever case." })],
      ["source", new Field({ name: "logs.source", label: "From the source", control: source, read: () => source.value, help: "Empty: any." })],
      ["condition", new Field({ name: "condition", label: "Is", control: condition, read: () => condition.value })],
      ["threshold", this.threshold],
      ["severity", new Field({ name: "severity", label: "Severity", control: severity.element, read: severity.read, group: true, wide: true })],
      ["window", this.windowField],
      ["for", this.forField],
      ["keep", minutes("keep_firing_minutes", "Keeps firing for", rule.keep_firing_minutes, "After the condition ended, which damps flapping.")],
      ["cooldown", minutes("cooldown_minutes", "Reminds every", rule.cooldown_minutes, "While the alert stays.")],
      ["noData", new Field({ name: "on_no_data", label: "Where there is no data", control: noData.element, read: noData.read, group: true, help: "No series for five minutes. A feature that is idle has series." })],
      ["environment", new Field({ name: "environment", label: "Environment", control: environment, read: () => environment.value || null })],
      ["channels", new Field({ name: "notification_channels", label: "Who is told", control: people.element, read: people.read, group: true, help: "None chosen: the alert shows in the console alone.", wide: true })],
      ["enabled", new Field({ name: "enabled", label: "Enabled", control: enabled, read: () => enabled.getAttribute("aria-checked") === "true" })],
    ]);
    /** @type {Record<string, Field>} */
    this.named = Object.fromEntries(pairs);
    this.fields = pairs.map(([, field]) => field);
    const part = (/** @type {string} */ title, /** @type {string[]} */ ...keys) => h("div", { class: "form-part" }, h("h3", {}, title), h("div", { class: "entries" }, ...keys.map((key) => this.named[key].element)));
    this.element = h(
      "div",
      { class: "rule-fields" },
      part("What it watches", "name", "kind", "metric", "levels", "search", "source", "condition", "threshold"),
      part("How bad, and who is told", "severity", "channels", "cooldown"),
      part("When", "window", "for", "keep", "environment", "noData", "enabled"),
    );
    this.arrange();
  }

  /** Show the fields that belong to what is watched. */
  arrange() {
    const lines = this.named.kind.read() === "logs";
    for (const key of ["levels", "search", "source"]) this.named[key].element.hidden = !lines;
    for (const key of ["metric", "noData"]) this.named[key].element.hidden = lines;
    const metric = lines ? LINES : String(this.named.metric.read());
    this.threshold.setUnit(unitOf(metric));
    this.threshold.setHelp(lines ? "Silence is “below 1”." : (FIGURES[metric]?.help ?? ""));
    for (const key of ["window", "for", "keep", "cooldown"]) {
      const value = this.named[key].read();
      this.named[key].setUnit(typeof value === "number" && value >= 60 ? `min (${minutesText(value)})` : "min");
    }
  }

  /** @returns {Record<string, any>} the body that the bridge takes */
  body() {
    const lines = this.named.kind.read() === "logs";
    /** @type {Record<string, any>} */
    const body = {};
    for (const { name, read } of this.fields) if (!name.startsWith("logs.")) body[name] = read();
    if (lines) {
      body.logs = { levels: this.named.levels.read(), search: this.named.search.read(), source: this.named.source.read() };
      body.metric = null;
      body.on_no_data = "ignore";
    }
    return body;
  }
}

/** @param {string} name @param {string} label @param {number} value @param {string} help */
function minutes(name, label, value, help) {
  const control = textInput({ value, inputmode: "numeric", class: "input input-number" });
  return new Field({ name, label, control, read: () => typedNumber(control.value), help, unit: "min" });
}
