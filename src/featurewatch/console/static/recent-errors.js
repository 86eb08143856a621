// What failed: kinds of errors by count, and the last lines that say so, with the way into the log.

import { h } from "./kit/dom.js";
import { count, moment } from "./kit/format.js";
import { plain } from "./kit/plain-text.js";
import { Section } from "./section.js";
import { figuresRange } from "./times.js";

/** @extends {Section<any>} */
export class RecentErrors extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    super({
      title: "Errors by type",
      kind: "errors",
      empty: "No call failed in this time, no error was logged.",
      aside: h("button", { class: "button button-quiet", type: "button", onclick: () => context.openLogs(id, { levels: ["error", "fatal"], search: "" }) }, "Show in the log"),
      load: (environment, signal) =>
        Promise.all([
          context.api.get(`/features/${encodeURIComponent(id)}/performance`, { time_range: figuresRange(context.router.route) || "1h", environment }, signal),
          context.api.get("/logs", { feature_id: id, levels: "error,fatal", limit: 5, environment }, signal),
        ]),
      draw: ([{ errors_by_type: kinds = {} }, { logs }]) => shown(Object.entries(kinds), logs),
      every: 15_000,
    });
  }
}

/** @param {[string, number][]} kinds @param {import("./kit/log-buffer.js").Line[]} lines */
function shown(kinds, lines) {
  const counted = kinds.filter(([, count]) => count >= 0.5).sort((one, other) => other[1] - one[1]);
  if (counted.length === 0 && lines.length === 0) return null;
  return h(
    "div",
    {},
    counted.length > 0 && h("ul", { class: "error-kinds", "aria-label": "Types of errors" }, ...counted.map(([kind, number]) => h("li", {}, h("bdi", {}, plain(kind)), " ", h("b", {}, count(Math.round(number)).value)))),
    lines.length > 0 && h("ul", { class: "last-errors", "aria-label": "Last lines" }, ...[...lines].reverse().map(line)),
  );
}

/** @param {import("./kit/log-buffer.js").Line} line */
function line({ timestamp, message }) {
  return h(
    "li",
    {},
    h("time", { datetime: timestamp, title: timestamp }, moment(new Date(timestamp), new Date())),
    h("span", { class: "last-error", dir: "auto", title: message }, plain(message)),
  );
}
