import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { AlertsFeed } from "../../src/featurewatch/console/static/alerts-feed.js";
import { answerOf } from "../../src/featurewatch/console/static/alerts-explain.js";
import { byUrgency, conditionText, durationOf, endOf, factsOf, lasted, limitText, valueText, withInstants } from "../../src/featurewatch/console/static/alerts-words.js";
import { axisOf } from "../../src/featurewatch/console/static/rules-chart.js";

const alert = (more = {}) => ({ id: "1", title: "Errors Alert", severity: "high", status: "active", triggered_at: "2026-01-31T12:00:00Z", metadata: {}, message: "m", ...more });
const told = (more = {}) => ({
  summary: "not told yet: ops", reasons: [], rule: null, route: { label: null, channels: ["ops"] }, receivers: [], silences: [],
  inhibited_by: [], maintenance: [], cooldown_minutes: 60, deliveries: [], firing_in_alertmanager: null, next_notification_at: null, ...more,
});

test("durations have two units at most", () => {
  assert.deepEqual([0, 59_999, 60_000, 3_600_000, 7_500_000, 172_800_000, 180_000_000].map(lasted), ["0 s", "59 s", "1 min", "1 h", "2 h 5 min", "2 d", "2 d 2 h"]);
});

test("values stand in the unit of their metric, and what is no number stays as it is", () => {
  assert.deepEqual([valueText("error_rate", 13.18), valueText("response_time_p95", 1032), valueText("cost_per_request", 0.05), valueText("log_entries", 12), valueText("error_rate", null), valueText("error_rate", "no data")],
    ["13.2 %", "1.03 s", "$0.05", "12", "—", "no data"]);
  assert.deepEqual([limitText("error_rate", 7.2), limitText("error_rate", 20.123456), limitText("response_time_p95", 1500), limitText("cost_per_request", 0.00001), limitText("requests_per_minute", 5)],
    ["7.2 %", "20.123456 %", "1.5 s", "$0.00001", "5/min"]);
  assert.equal(conditionText({ metric: "total_requests", condition: "less_than", threshold: 1000 }), "Requests below 1,000");
});

test("an alert tells its value and threshold, or else what its message says", () => {
  assert.deepEqual(factsOf(alert({ metadata: { metric: "error_rate", trigger_value: 80, threshold: 20, condition: "greater_than" } })), { label: "Error rate", value: "80 %", limit: "above 20 %", message: "m" });
  assert.equal(factsOf(alert()).label, "");
  assert.equal(durationOf(alert({ resolved_at: "2026-01-31T12:04:30Z" }), 0), "4 min");
  assert.deepEqual([endOf({ resolve_reason: "manual", resolved_by: "ada" }), endOf({ resolve_reason: "recovered" })], ["closed by ada", "recovered"]);
});

test("the worst alert stands first, of those the newest", () => {
  const list = [alert({ id: "a", severity: "low" }), alert({ id: "b", severity: "critical" }), alert({ id: "c", severity: "critical", triggered_at: "2026-01-31T13:00:00Z" })];
  assert.deepEqual(list.sort(byUrgency).map(({ id }) => id), ["c", "b", "a"]);
});

test("instants within a text are told apart", () => {
  assert.deepEqual(withInstants("until 2026-01-31T12:00:00.000000Z (why)"), ["until ", new Date("2026-01-31T12:00:00Z"), " (why)"]);
});

test("whether anyone was notified has an answer in each case", () => {
  const delivery = { timestamp: "2026-01-31T12:00:00Z", receiver: "ops", status: "firing" };
  const word = (more) => answerOf(told(more)).word;
  assert.equal(answerOf(told({ deliveries: [delivery] })).text, "ops took it at 2026-01-31T12:00:00Z.");
  assert.match(answerOf(told({ deliveries: [delivery, delivery], reasons: ["ada acknowledged it"] })).text, /2 times, last at .*Nothing more is sent: ada acknowledged it\./);
  assert.equal(answerOf(told({ deliveries: [delivery], route: { label: null, channels: ["mail", "ops"] } })).text, "ops took it at 2026-01-31T12:00:00Z. No delivery to mail is known.");
  const failed = { ...delivery, receiver: "mail", status: "failed: channel 'mail': refused" };
  assert.equal(answerOf(told({ deliveries: [failed] })).text, "mail could not be told at 2026-01-31T12:00:00Z: channel 'mail': refused.");
  assert.equal(answerOf(told({ deliveries: [failed, delivery], route: { label: null, channels: ["mail", "ops", "chat"] } })).text,
    "ops took it at 2026-01-31T12:00:00Z. mail could not be told at 2026-01-31T12:00:00Z: channel 'mail': refused. No delivery to chat is known.");
  assert.equal(word({}), "Not yet");
  assert.equal(word({ reasons: ["its rule names no notification channel"] }), "No");
  // The bridge's own webhook keeps the history: it is nobody who was told.
  assert.equal(word({ deliveries: [{ ...delivery, receiver: "featurewatch/bridge" }], reasons: ["x"] }), "No");
  assert.equal(answerOf(told({ receivers: ["featurewatch/bridge", "featurewatch/hi+mail+ops@60m/low"], route: { label: null, channels: ["mail", "ops"] } })).text, "Alertmanager tells mail, ops.");
});

test("an axis holds every value, and leaves zero out where nothing is near it", () => {
  assert.deepEqual(axisOf([0, 12, 20]), [0, 10, 20]);
  const near = axisOf([99.2, 99.9, 99]);
  assert.ok(near[0] <= 99 && near[0] > 90 && near[near.length - 1] >= 99.9, String(near));
  assert.deepEqual(axisOf([]), [0, 0.5, 1]);
});

/** A feed whose reads are answered by hand, and whose stream is spoken by hand. */
function feed() {
  const reads = [];
  const heard = new Map();
  const told = [];
  globalThis.document = { hidden: false };
  mock.timers.enable({ apis: ["setInterval", "Date"] });
  const made = new AlertsFeed({
    api: { get: () => new Promise((answer, fail) => reads.push({ answer: (...alerts) => answer({ alerts, next_cursor: null }), fail })) },
    client: { state: "live", subscribe: (type, listener) => heard.set(type, listener) },
  });
  made.subscribe((one, type) => told.push(`${type} ${one?.id ?? "-"}`));
  return { made, reads, told, say: (type, data) => heard.get(type)({ data }), ids: () => made.list().map(({ id }) => id) };
}

test("what the stream tells while the list is read wins over the list", async () => {
  const { made, reads, say, ids } = feed();
  const read = made.load();
  say("alert_triggered", alert({ id: "new" }));
  say("alert_resolved", alert({ id: "old", status: "resolved" }));
  reads[0].answer(alert({ id: "old" }), alert({ id: "stays" }));
  await read;
  assert.deepEqual(ids().sort(), ["new", "stays"]);
  mock.timers.reset();
});

test("what no stream told is found by reading again, and is told as new once", async () => {
  const { made, reads, told, ids } = feed();
  const first = made.load();
  reads[0].answer(alert({ id: "a" }));
  await first;
  assert.deepEqual(told, ["read -"], "what was open before is no news");
  mock.timers.tick(12_500);
  reads[1].answer(alert({ id: "a" }), alert({ id: "b" }), alert({ id: "c", status: "acknowledged" }));
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(told.slice(1), ["read -", "alert_triggered b"]);
  mock.timers.tick(12_500);
  reads[2].answer(alert({ id: "b" }));
  await new Promise((done) => setImmediate(done));
  assert.deepEqual([told.length, ids()], [4, ["b"]]);
  mock.timers.reset();
});

test("a read that fails keeps what was known, says so, and is tried sooner", async () => {
  const { made, reads, ids } = feed();
  const first = made.load();
  reads[0].answer(alert({ id: "a" }));
  await first;
  mock.timers.tick(12_500);
  reads[1].fail(Object.assign(new Error("The bridge cannot be reached."), { status: 0 }));
  await new Promise((done) => setImmediate(done));
  assert.deepEqual([made.failure, ids()], ["The bridge cannot be reached.", ["a"]]);
  mock.timers.tick(5_000);
  reads[2].answer();
  await new Promise((done) => setImmediate(done));
  assert.deepEqual([made.failure, ids()], ["", []]);
  mock.timers.reset();
});
