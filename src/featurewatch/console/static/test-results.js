// The last test results of a feature: what passed, what failed and why.

import { h } from "./kit/dom.js";
import { asText, duration, moment } from "./kit/format.js";
import { icon } from "./kit/icons.js";
import { plain } from "./kit/plain-text.js";
import { Section } from "./section.js";

/** @extends {Section<any>} */
export class TestResults extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    super({
      title: "Test results",
      kind: "tests",
      empty: `No test told its result. A job does so with POST ${context.api.prefix}/features/${id}/test-results.`,
      load: (environment, signal) => context.api.get(`/features/${encodeURIComponent(id)}/test-results`, { environment, limit: 100 }, signal),
      draw: ({ test_results: results }) => (results.length === 0 ? null : shown(latest(results))),
    });
  }
}

/** Keep the newest result of each test, failed ones first. @param {any[]} results newest first */
export function latest(results) {
  const found = new Map();
  for (const result of results) if (!found.has(nameOf(result))) found.set(nameOf(result), result);
  return [...found.values()].sort((one, other) => Number(passed(one)) - Number(passed(other)));
}

/** @param {any} result */
const nameOf = ({ data }) => plain(String(data.name ?? data.test ?? data.test_name ?? "test"));
/** @param {any} result */
const passed = ({ data }) => Boolean(data.passed ?? /^(pass|ok|success|true|good)/i.test(String(data.status ?? "")));

/** @param {any[]} results */
function shown(results) {
  const failed = results.filter((result) => !passed(result)).length;
  return h(
    "div",
    {},
    h("p", { class: "tests-sum" }, failed === 0 ? `All ${results.length} passed when they last ran.` : `${failed} of ${results.length} failed when they last ran.`),
    h("ul", { class: "tests" }, ...results.map(item)),
  );
}

/** @param {any} result */
function item(result) {
  const { data, timestamp } = result;
  const good = passed(result);
  const took = Number.isFinite(data.duration_ms) ? asText(duration(data.duration_ms)) : "";
  return h(
    "li",
    { class: "test", dataset: { tone: good ? "healthy" : "error" } },
    icon(good ? "healthy" : "error"),
    h("bdi", { class: "test-name" }, nameOf(result)),
    h("span", { class: "test-word" }, [good ? "passed" : "failed", took].filter(Boolean).join(" in ")),
    h("time", { class: "event-time", datetime: timestamp, title: timestamp }, moment(new Date(timestamp), new Date())),
    data.message && h("span", { class: "event-text", dir: "auto" }, plain(String(data.message))),
  );
}
