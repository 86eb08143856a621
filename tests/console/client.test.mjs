import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { backoff } from "../../src/featurewatch/console/static/kit/backoff.js";
import { LiveClient } from "../../src/featurewatch/console/static/kit/client.js";
import { readConfig } from "../../src/featurewatch/console/static/config.js";
import { START, formatRoute, parseRoute } from "../../src/featurewatch/console/static/route.js";
import { Store, byTrouble } from "../../src/featurewatch/console/static/store.js";

class FakeSocket {
  static all = [];
  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.sent = [];
    FakeSocket.all.push(this);
  }
  open(...messages) {
    this.readyState = 1;
    this.hear({ type: "connection_confirmed", data: { connected: true } }, ...messages);
  }
  hear(...messages) {
    this.onmessage({ data: JSON.stringify(messages) });
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose({ code });
  }
}

class FakeSource {
  static all = [];
  constructor(url) {
    this.url = url;
    this.readyState = 0;
    FakeSource.all.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  close() {
    this.readyState = 2;
  }
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

/** @param {(path: string) => any} answer what REST answers; an Error is thrown */
function client(answer) {
  const api = {
    prefix: "/api/v1",
    get: async (path) => {
      const given = answer(path);
      if (given instanceof Error) throw given;
      return given;
    },
  };
  const made = new LiveClient({ api, origin: "http://bridge", WebSocket: FakeSocket, EventSource: FakeSource, random: () => 1 });
  const states = [];
  made.subscribe("state", (state) => states.push(state));
  return { client: made, states };
}

const failed = (status) => Object.assign(new Error("no"), { status });

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000 });
  FakeSocket.all = [];
  FakeSource.all = [];
});

test("delays double up to a limit, with jitter over their upper half", () => {
  assert.deepEqual([0, 1, 2, 20].map((attempt) => backoff(attempt, () => 1)), [500, 1000, 2000, 30_000]);
  assert.deepEqual([0, 1, 2, 20].map((attempt) => backoff(attempt, () => 0)), [250, 500, 1000, 15_000]);
});

test("messages reach who subscribed, until they unsubscribe", async () => {
  const { client: live } = client(() => ({}));
  live.start("staging");
  const heard = [];
  const end = live.subscribe("metrics_update", ({ data }) => heard.push(data));
  const [socket] = FakeSocket.all;
  assert.equal(socket.url, "ws://bridge/api/v1/websocket?featureId=*&batch=true&environment=staging");
  socket.open({ type: "metrics_update", featureId: "a", data: 1 }, { type: "metrics_update", featureId: "b", data: 2 });
  end();
  socket.hear({ type: "metrics_update", featureId: "a", data: 3 });
  assert.deepEqual(heard, [1, 2]);
  assert.equal(live.state, "live");
});

test("a lost connection is tried again, later each time, and the log resumes where it stopped", async () => {
  const { client: live, states } = client(() => failed(0));
  live.start();
  FakeSocket.all[0].open();
  live.followLogs({ featureId: "a", filters: { levels: "error" }, after: "" });
  FakeSocket.all[0].hear({ type: "log_entry", featureId: "a", data: {}, id: "p7" });
  FakeSocket.all[0].close(1012);
  mock.timers.tick(500);
  FakeSocket.all[1].close();
  await settle();
  mock.timers.tick(499);
  assert.equal(FakeSocket.all.length, 2);
  mock.timers.tick(1);
  FakeSocket.all[2].close();
  await settle();
  mock.timers.tick(1000);
  FakeSocket.all[3].open();
  assert.deepEqual(states, ["live", "reconnecting", "disconnected", "live"]);
  assert.deepEqual(FakeSocket.all[3].sent, [{ type: "subscribe_logs", featureId: "a", filters: { levels: "error" }, after: "p7" }]);
});

test("a position promises lines only once the subscription was taken in", async () => {
  const { client: live } = client(() => ({}));
  live.start();
  FakeSocket.all[0].open();
  live.followLogs({ featureId: "a", filters: {}, after: "p1" });
  FakeSocket.all[0].hear({ type: "metrics_update", featureId: "b", data: {}, id: "p9" });
  assert.equal(live.logs.after, "p1");
  mock.timers.tick(11_000);
  FakeSocket.all[0].hear({ type: "metrics_update", featureId: "b", data: {}, id: "p12" });
  assert.equal(live.logs.after, "p12");
});

test("where WebSockets are refused by a bridge that answers, SSE takes over and the WebSocket is tried again", async () => {
  const { client: live, states } = client((path) => (path === "/metrics/current" ? { data: [{ featureId: "a", timestamp: "t" }] } : {}));
  const heard = [];
  live.subscribe("metrics_update", ({ featureId }) => heard.push(featureId));
  live.focus("a b");
  live.start();
  FakeSocket.all[0].close();
  await settle();
  mock.timers.tick(500);
  FakeSocket.all[1].close();
  await settle();
  live.followLogs({ featureId: "a b", filters: { levels: "warn" }, after: "p3" });
  assert.deepEqual(FakeSource.all.map(({ url }) => url), [
    "/api/v1/features/a%20b/metrics/stream", "/api/v1/features/a%20b/logs/stream?levels=warn&after=p3",
  ]);
  assert.deepEqual(heard, ["a"]);
  FakeSource.all[0].open();
  assert.deepEqual(states, ["live-polling", "live-sse"]);
  mock.timers.tick(60_000);
  await settle();
  FakeSocket.all.at(-1).open();
  assert.equal(live.state, "live");
  assert.ok(FakeSource.all.every(({ readyState }) => readyState === 2));
});

test("a bridge that is down is no reason to give WebSockets up", async () => {
  for (const status of [0, 502]) {
    FakeSocket.all = [];
    const { client: live } = client(() => failed(status));
    live.start();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      FakeSocket.all.at(-1).close();
      await settle();
      mock.timers.tick(500 * 2 ** attempt);
    }
    assert.equal(live.state, "disconnected");
    assert.equal(FakeSource.all.length, 0);
    assert.equal(FakeSocket.all.length, 6);
  }
});

test("a reader who does not want to wait is not made to", async () => {
  const { client: live } = client(() => failed(0));
  live.start();
  FakeSocket.all[0].close();
  await settle();
  assert.equal(live.state, "disconnected");
  live.retry();
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.all[1].open();
  mock.timers.tick(5_000);
  assert.equal(FakeSocket.all.length, 2);
  live.retry();
  assert.equal(FakeSocket.all.length, 2);
});

test("without a credential the client waits to be started anew", async () => {
  const { client: live } = client(() => failed(401));
  live.start();
  FakeSocket.all[0].close(1008);
  await settle();
  mock.timers.tick(120_000);
  assert.equal(live.state, "signed-out");
  assert.equal(FakeSocket.all.length, 1);
});

test("a connection that fell silent is closed and opened again", async () => {
  const { client: live } = client(() => ({}));
  live.start();
  FakeSocket.all[0].open();
  mock.timers.tick(40_000);
  assert.deepEqual(FakeSocket.all[0].sent, [{ type: "ping" }, { type: "ping" }]);
  mock.timers.tick(20_000);
  assert.equal(live.state, "reconnecting");
});

test("the address holds the whole state and survives being read back", () => {
  const route = { ...START, page: "feature", feature: "a/b c", env: "staging", logs: "x", levels: ["warn", "error"], search: "50% & more #1", range: "1h", live: false };
  assert.deepEqual(parseRoute(formatRoute(route)), route);
  assert.equal(formatRoute(START), "#/");
  assert.deepEqual(parseRoute(""), START);
  assert.deepEqual(parseRoute("#/feature/%E0%A4%A"), START);
});

test("features in trouble come first, and equals keep their place", () => {
  const store = new Store();
  store.setFeatures(["d", "c", "b", "a"].map((id) => ({ id, name: id })));
  const apply = (featureId, health_status) => store.applySnapshot({ featureId, health_status, metrics: {} });
  apply("a", "healthy");
  apply("b", "error");
  apply("c", "warning");
  assert.deepEqual([...store.features.values()].sort(byTrouble).map(({ id }) => id), ["b", "c", "d", "a"]);
  assert.equal(apply("new", "healthy"), false);
  assert.equal(store.features.size, 5);
});

test("a page that no bridge filled in asks the default address", () => {
  assert.equal(readConfig("__FEATUREWATCH_CONFIG__").prefix, "/api/v1");
  assert.deepEqual(readConfig('{"prefix": "/api/x/", "grafana": "javascript:alert(1)", "window": 600}'), { prefix: "/api/x", grafana: "", window: 600 });
});
