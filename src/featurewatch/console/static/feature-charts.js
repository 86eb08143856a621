// A feature's charts over the time that is looked at, with the limits and the alerts that belong to them.

import { Annotations } from "./annotations.js";
import { Chart, Cursor } from "./chart.js";
import { History } from "./history.js";
import { h } from "./kit/dom.js";
import { span } from "./kit/format.js";
import { HOUR, TimeControl, rangeOf } from "./times.js";

/** @type {{title: string, note?: (step: string) => string, bars?: boolean, series: import("./chart.js").Series[]}[]} */
const CHARTS = [
  { title: "Requests", note: () => "per minute", bars: true, series: [{ metric: "requests_per_minute", label: "Requests", tone: "main" }] },
  { title: "Error rate", series: [{ metric: "error_rate", label: "Error rate", tone: "error" }] },
  {
    title: "Response time",
    series: [
      { metric: "response_time_p50", label: "p50", tone: "low" },
      { metric: "response_time_p95", label: "p95", tone: "main" },
      { metric: "response_time_p99", label: "p99", tone: "high" },
    ],
  },
  { title: "Cost", note: (step) => (step === "1 min" ? "per minute" : `per ${step}`), bars: true, series: [{ metric: "total_cost", label: "Cost", tone: "cost" }] },
];
/** Between two looks at rules and alerts, where nothing tells of them. */
const ANNOTATE = 60_000;

/**
 * Choose how much of the live hour is drawn: a feature that has run for five minutes would be a sliver in it.
 * @param {Record<string, import("./chart.js").Points>} points @param {number} now @returns {number} ms
 */
function spanOf(points, now) {
  const known = Object.values(points).flatMap((line) => line.find(([, value]) => value !== null && value > 0)?.[0] ?? []);
  const age = now - Math.min(now, ...known);
  return known.length === 0 ? HOUR : ([HOUR / 4, HOUR / 2].find((length) => age < length * 0.9) ?? HOUR);
}

export class Charts {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.environment = "";
    this.range = rangeOf(context.router.route);
    /** @type {History|null} */
    this.history = null;
    this.annotated = 0;
    const cursor = new Cursor();
    this.charts = CHARTS.map(({ note, ...options }) => ({ note, chart: new Chart({ ...options, cursor, step: this.range.step, onZoom: (from, to) => this.#zoom(from, to) }) }));
    this.annotations = new Annotations(context, id, () => this.#annotate());
    this.control = new TimeControl(context.router);
    this.element = h(
      "section",
      { class: "charts-part", "aria-label": "Charts" },
      h("div", { class: "charts-head" }, h("p", { class: "charts-help" }, "Drag over a chart to zoom; by keyboard: Shift and the arrow keys, then Enter."), this.control.element),
      h("div", { class: "charts" }, ...this.charts.map(({ chart }) => chart.element)),
    );
    this.end = context.router.subscribe((route, before) => {
      if (["time", "start", "end"].some((name) => route[name] !== before[name])) this.show(this.environment);
    });
  }

  close() {
    this.end();
    this.control.close();
    this.annotations.close();
    this.history?.close();
    for (const { chart } of this.charts) chart.close();
  }

  /** Begin, or begin anew with another environment or time. @param {string} environment */
  show(environment) {
    this.environment = environment;
    this.range = rangeOf(this.context.router.route);
    this.history?.close();
    this.history = new History({
      api: this.context.api,
      lane: this.context.lane,
      featureId: this.id,
      environment,
      metrics: CHARTS.flatMap(({ series }) => series.map(({ metric }) => metric)),
      range: this.range,
      changed: () => this.draw(),
      provisional: true,
    });
    for (const { note, chart } of this.charts) chart.setNote(note?.(span(this.range.step / 1000)) ?? "");
    this.annotated = 0;
    this.tick();
  }

  /** Bring the charts up to now; called each second. */
  tick() {
    if (this.history === null || document.hidden) return;
    const now = Date.now();
    void this.history.follow(now);
    if (now - this.annotated > ANNOTATE) this.changed();
    this.draw();
  }

  /** Read rules and alerts again: something was told of them. */
  changed() {
    if (this.history === null) return;
    this.annotated = Date.now();
    void this.annotations.load(this.environment, this.range.from ?? Date.now() - this.range.length);
  }

  /** Read everything again, after a break. */
  refresh() {
    this.history?.refresh();
    this.annotated = 0;
    this.tick();
  }

  draw() {
    if (this.history === null || document.hidden) return;
    const { points, loaded, failure } = this.history;
    const [from, to] = this.#window(points);
    for (const { chart } of this.charts) {
      chart.explain(failure !== "" ? failure : loaded ? "" : "Loading…");
      chart.update(points, from, to, this.range.step);
    }
  }

  /** @param {Record<string, import("./chart.js").Points>} points @returns {[number, number]} */
  #window(points) {
    const { from, to, length } = this.range;
    const now = Date.now();
    if (from !== null && to !== null) return [from, to];
    return [now - (this.context.router.route.time === "" ? spanOf(points, now) : length), now];
  }

  #annotate() {
    const { thresholds, episodes } = this.annotations;
    for (const { chart } of this.charts) {
      const metrics = chart.series.map(({ metric }) => metric);
      chart.annotate({ thresholds, episodes: episodes.filter(({ metric }) => metrics.includes(metric)) });
    }
  }

  /** @param {number} from @param {number} to */
  #zoom(from, to) {
    this.context.router.update({ time: "custom", start: new Date(from).toISOString(), end: new Date(to).toISOString() }, { push: true });
  }
}
