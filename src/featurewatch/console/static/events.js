// What happened to a feature: its health's changes, test results, alerts.

import { h } from "./kit/dom.js";
import { moment, readable } from "./kit/format.js";
import { HEALTH } from "./kit/health.js";
import { icon } from "./kit/icons.js";
import { plain } from "./kit/plain-text.js";
import { Section } from "./section.js";

/** @extends {Section<any>} */
export class Events extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    super({
      title: "What happened",
      kind: "events",
      empty: "No change of health, no test result yet.",
      load: (environment, signal) => context.api.get(`/features/${encodeURIComponent(id)}/events`, { environment, limit: 50 }, signal),
      draw: ({ events }) => (events.length === 0 ? null : h("ol", { class: "events", tabindex: "0", "aria-label": "What happened, the newest first" }, ...events.map(item))),
    });
  }
}

/** @param {{type: string, timestamp: string, data: any}} event */
function item(event) {
  const at = new Date(event.timestamp);
  const { mark, tone, title, text } = told(event);
  return h(
    "li",
    { class: "event", dataset: { tone } },
    icon(mark),
    h("span", { class: "event-title" }, plain(title)),
    h("time", { class: "event-time", datetime: event.timestamp, title: event.timestamp }, moment(at, new Date())),
    text !== "" && h("span", { class: "event-text", dir: "auto" }, plain(text)),
  );
}

/** Put an event into words. @param {{type: string, data: any}} event */
export function told({ type, data }) {
  if (type === "status_change") {
    const to = data.to in HEALTH ? data.to : "unknown";
    return {
      mark: to,
      tone: to,
      title: `${HEALTH[data.from] ?? "New"} → ${HEALTH[to]}`,
      text: (data.reasons ?? []).map(readable).join("; "),
    };
  }
  if (type === "test_result") {
    const outcome = String(data.status ?? data.outcome ?? data.result ?? (data.passed ?? data.success ?? data.ok ? "passed" : "failed"));
    const good = /^(pass|ok|success|true|good)/i.test(outcome);
    return {
      mark: "test",
      tone: good ? "healthy" : "error",
      title: `Test ${data.name ?? data.test ?? data.test_name ?? ""} ${outcome}`.replace(/ +/g, " "),
      text: String(data.message ?? data.error ?? ""),
    };
  }
  const alert = data.alert ?? data;
  return { mark: "bell", tone: alert.status === "resolved" ? "healthy" : "error", title: String(alert.title ?? "Alert"), text: readable(String(alert.message ?? "")) };
}
