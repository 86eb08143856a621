import assert from "node:assert/strict";
import { test } from "node:test";
import { episodesOf, thresholdsOf } from "../../src/featurewatch/console/static/annotations.js";
import { freshness } from "../../src/featurewatch/console/static/freshness.js";
import { grafanaLinks } from "../../src/featurewatch/console/static/grafana.js";
import { formatRoute, parseRoute } from "../../src/featurewatch/console/static/route.js";
import { DAY, HOUR, MINUTE, figuresRange, rangeOf, rangeText, stepOf, zone } from "../../src/featurewatch/console/static/times.js";

const live = { time: "", start: "", end: "" };
const zoomed = { time: "custom", start: "2026-01-31T12:00:00.000Z", end: "2026-01-31T12:40:00.000Z" };

test("a range ends now or where it was zoomed to, and never has more points than wanted", () => {
  assert.deepEqual(rangeOf(live), { length: HOUR, step: MINUTE, from: null, to: null });
  assert.deepEqual(rangeOf({ ...live, time: "7d" }), { length: 7 * DAY, step: HOUR, from: null, to: null });
  assert.deepEqual(rangeOf(zoomed), { length: 40 * MINUTE, step: MINUTE, from: Date.parse(zoomed.start), to: Date.parse(zoomed.end) });
  for (const length of [MINUTE, HOUR, DAY, 30 * DAY]) assert.ok(length / stepOf(length, 60) <= 60);
});

test("what is no range is the live hour", () => {
  for (const end of ["", "nonsense", "2026-01-31T11:00:00Z", zoomed.start]) assert.equal(rangeOf({ ...zoomed, end }).from, null);
  assert.equal(rangeOf({ ...live, time: "3y" }).length, HOUR);
  assert.deepEqual(["", "24h", "custom", "3y"].map((time) => figuresRange({ time })), ["", "24h", "", ""]);
});

test("pages, time and zoom survive the address", () => {
  for (const hash of ["#/", "#/alerts", "#/channels?env=staging", "#/feature/a%2Fb?time=24h", "#/feature/x/settings", "#/?q=sum&health=error&time=7d"]) {
    assert.equal(formatRoute(parseRoute(hash)), hash);
  }
  assert.equal(parseRoute("#/nowhere").page, "overview");
});

test("times are told in the reader's zone", () => {
  const at = new Date("2026-01-31T12:00:00Z");
  assert.equal(zone(at), "Europe/Berlin, UTC+01:00");
  assert.equal(rangeText(Date.parse(zoomed.start), Date.parse(zoomed.end), at), "13:00 – 13:40");
});

test("Grafana is led to the same feature and time", () => {
  const { feature, logs } = grafanaLinks("https://g.example/grafana/", "a b", "production", zoomed);
  assert.equal(feature, "https://g.example/grafana/d/featurewatch-feature?var-feature=a+b&var-environment=production&from=1769860800000&to=1769863200000");
  assert.ok(logs.startsWith("https://g.example/grafana/d/featurewatch-logs?"));
  assert.match(grafanaLinks("https://g.example", "a", "", { ...live, time: "6h" }).feature, /from=now-6h&to=now$/);
});

test("health's limits and the rules that are on are lines; those of another environment are not", () => {
  const rule = { kind: "metric", enabled: true, metric: "error_rate", threshold: 20, name: "Errors", severity: "high", environment: null };
  const rules = [rule, { ...rule, enabled: false }, { ...rule, environment: "staging" }, { ...rule, kind: "logs", metric: "log_lines" }];
  assert.deepEqual(thresholdsOf({ error_rate: 5 }, rules, "production"), [
    { metric: "error_rate", value: 5, label: "Healthy below" },
    { metric: "error_rate", value: 20, label: "Errors", severity: "high" },
  ]);
});

test("an alert is an episode that lasts until it is resolved", () => {
  const alert = { title: "Errors Alert", severity: "high", status: "active", triggered_at: zoomed.start, metadata: { metric: "error_rate" } };
  const [open, over] = episodesOf([alert, { ...alert, resolved_at: zoomed.end }]);
  assert.equal(open.to, null);
  assert.equal(over.to - over.from, 40 * MINUTE);
});

test("figures are live only while they come", () => {
  const snapshot = { timestamp: zoomed.start, stale: false };
  const now = Date.parse(zoomed.start) + 5_000;
  assert.equal(freshness(snapshot, "live", false, now), "live");
  assert.equal(freshness(snapshot, "reconnecting", false, now), "cached");
  assert.equal(freshness(snapshot, "live", true, now), "cached");
  assert.equal(freshness(snapshot, "live", false, now + 10 * MINUTE), "cached");
  assert.equal(freshness({ ...snapshot, stale: true }, "live", false, now), "stale");
});
