import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { backoff } from "../../src/featurewatch/console/static/kit/backoff.js";
import { LiveClient } from "../../src/featurewatch/console/static/kit/client.js";
import { configure, settled } from "../../src/featurewatch/console/static/kit/connect.js";
import { Token, endOf } from "../../src/featurewatch/console/static/kit/token.js";
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
  open(...messages) {
    this.readyState = 1;
    for (const message of [{ type: "connected" }, ...messages]) this.onmessage({ data: JSON.stringify(message), lastEventId: message.id ?? "" });
  }
  fail() {
    this.readyState = 2;
    this.onerror();
  }
  close() {
    this.readyState = 2;
  }
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

const lines = (live, featureId, filters, after = "", environment = "") => {
  const heard = [];
  return { heard, ...live.followLogs({ featureId, environment, filters, hear: (event) => heard.push(event) }, after), get position() { return live.lines.groups.get(`${featureId}\n${environment}`).after; } };
};

/** @param {(path: string) => any} answer what REST answers; an Error is thrown */
function client(answer, { follow = "*", ...more } = {}) {
  const api = {
    base: "http://bridge",
    prefix: "/api/v1",
    token: new Token(),
    url: (path) => `/api/v1${path}`,
    get: async (path) => {
      const given = answer(path);
      if (given instanceof Error) throw given;
      return given;
    },
  };
  const made = new LiveClient({ api, WebSocket: FakeSocket, EventSource: FakeSource, random: () => 1, ...more });
  if (follow !== "") made.follow(follow);
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
  lines(live, "a", { levels: ["error"] });
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
  assert.deepEqual(states, ["connecting", "live", "reconnecting", "disconnected", "live"]);
  assert.match(FakeSocket.all[3].url, /after=p7$/);
  assert.deepEqual(FakeSocket.all[3].sent, [{ type: "subscribe_logs", featureId: "a", filters: { levels: "error" }, after: "p7" }]);
});

test("a position promises lines only once the subscription was taken in", async () => {
  const { client: live } = client(() => ({}));
  live.start();
  FakeSocket.all[0].open();
  const following = lines(live, "a", {}, "p1");
  FakeSocket.all[0].hear({ type: "metrics_update", featureId: "b", data: {}, id: "p9" });
  assert.equal(following.position, "p1");
  FakeSocket.all[0].hear({ type: "log_history", featureId: "a", data: [], id: "p10" });
  mock.timers.tick(11_000);
  FakeSocket.all[0].hear({ type: "metrics_update", featureId: "b", data: {}, id: "p12" });
  assert.equal(following.position, "p12");
});

test("where WebSockets are refused by a bridge that answers, SSE takes over and the WebSocket is tried again", async () => {
  const { client: live, states } = client(() => ({}));
  const heard = [];
  live.subscribe("status_change", ({ data }) => heard.push(data.id));
  live.start();
  FakeSocket.all[0].close();
  await settle();
  mock.timers.tick(500);
  FakeSocket.all[1].close();
  await settle();
  const following = lines(live, "a b", { levels: ["warn"] }, "p3");
  assert.deepEqual(FakeSource.all.map(({ url }) => url), ["/api/v1/stream?featureId=*", "/api/v1/features/a%20b/logs/stream?levels=warn&after=p3"]);
  FakeSource.all[0].open({ type: "status_change", featureId: "a b", data: { id: "e1" }, id: "p4" });
  await settle();
  FakeSource.all[1].open({ type: "log_entry", featureId: "a b", data: { id: "l1", level: "warn" }, id: "p5" });
  assert.equal(live.state, "live-sse");
  assert.deepEqual(following.heard.flatMap(({ lines: got = [] }) => got.map(({ id }) => id)), ["l1"]);
  mock.timers.tick(60_000);
  await settle();
  assert.match(FakeSocket.all.at(-1).url, /after=p4$/);
  FakeSocket.all.at(-1).open({ type: "status_change", featureId: "a b", data: { id: "e1" }, id: "p6" }, { type: "status_change", featureId: "a b", data: { id: "e2" }, id: "p7" });
  assert.deepEqual(states, ["connecting", "live-sse", "live"]);
  assert.deepEqual(heard, ["e1", "e2"]);
  assert.deepEqual(FakeSocket.all.at(-1).sent, [{ type: "subscribe_logs", featureId: "a b", filters: { levels: "warn" }, after: "p5" }]);
  assert.ok(FakeSource.all.every(({ readyState }) => readyState === 2));
});

test("a WebSocket that hangs is doubted after two seconds, and takes over when it comes after all", async () => {
  const { client: live, states } = client(() => ({}));
  live.start();
  mock.timers.tick(2_000);
  await settle();
  FakeSource.all[0].open();
  await settle();
  FakeSocket.all[0].open();
  assert.deepEqual(states, ["connecting", "live-sse", "live"]);
});

test("one that is cut again and again is given up, and an SSE that fails tries both", async () => {
  const { client: live } = client(() => ({}));
  live.start();
  for (let attempt = 0; attempt < 2; attempt += 1) {
    FakeSocket.all.at(-1).open();
    mock.timers.tick(1_000);
    FakeSocket.all.at(-1).close(1006);
    await settle();
    mock.timers.tick(500);
  }
  assert.equal(FakeSource.all.length, 1);
  FakeSource.all[0].open();
  await settle();
  assert.equal(live.state, "live-sse");
  const sockets = FakeSocket.all.length;
  FakeSource.all[0].fail();
  await settle();
  assert.equal(live.state, "reconnecting");
  mock.timers.tick(500);
  assert.equal(FakeSource.all.length, 2);
  assert.equal(FakeSocket.all.length, sockets + 1);
});

test("two parts that follow a feature by different filters share one subscription and get their own lines", async () => {
  const { client: live } = client(() => ({}));
  live.start();
  const [socket] = FakeSocket.all;
  socket.open();
  const errors = lines(live, "a", { levels: ["error"], source: "app" });
  const found = lines(live, "a", { levels: ["info", "error"], search: "time" });
  assert.deepEqual(socket.sent.map(({ filters }) => filters), [{ levels: "error", source: "app" }, { levels: "error,info" }]);
  socket.hear(
    { type: "log_history", featureId: "a", data: [], id: "p1" },
    { type: "log_entry", featureId: "a", data: { id: "1", level: "error", source: "app", message: "x" }, id: "p2" },
    { type: "log_entry", featureId: "a", data: { id: "2", level: "info", source: "web", message: "", metadata: { why: "TIMEOUT" } }, id: "p3" },
    { type: "log_entry", featureId: "b", data: { id: "3", level: "info", source: "web", message: "time" }, id: "p4" },
  );
  const got = ({ heard }) => heard.flatMap(({ lines: some = [] }) => some.map(({ id }) => id)).join();
  assert.deepEqual([got(errors), got(found)], ["1", "2"]);
  assert.equal(errors.close(), "p3");
  assert.deepEqual(socket.sent.at(-1), { type: "subscribe_logs", featureId: "a", filters: { levels: "info,error", search: "time" }, after: "p3" });
  const other = lines(live, "a", {}, "", "staging");
  assert.equal(FakeSource.all.length, 1, "another environment has an event stream of its own");
  other.close();
  found.close();
  assert.deepEqual(socket.sent.at(-1), { type: "unsubscribe_logs", featureId: "a" });
});

test("features are watched while a part of the page wants them", async () => {
  const { client: live, states } = client(() => ({}), { follow: "" });
  live.start();
  assert.equal(FakeSocket.all.length, 0);
  const ends = [live.follow("a"), live.follow("a"), live.follow("b")];
  await settle();
  const [socket] = FakeSocket.all;
  assert.equal(socket.url, "ws://bridge/api/v1/websocket?featureId=a&batch=true");
  socket.open();
  assert.deepEqual(socket.sent, [{ type: "subscribe", featureId: "b" }]);
  ends[0]();
  ends[2]();
  live.follow("b")();
  mock.timers.tick(1_000);
  assert.deepEqual(socket.sent.at(-1), { type: "unsubscribe", featureId: "b" });
  ends[1]();
  mock.timers.tick(1_000);
  assert.deepEqual(states.at(-1), "idle");
  assert.equal(socket.readyState, 3);
});

test("a page that is hidden for long lets its connection go and resumes when it is seen", async () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  globalThis.document = page;
  try {
    const { client: live, states } = client(() => ({}), { hiddenAfter: 60_000 });
    live.start();
    FakeSocket.all[0].open({ type: "status_change", featureId: "a", data: { id: "e1" }, id: "p3" });
    const look = (hidden) => {
      page.hidden = hidden;
      page.dispatchEvent(new Event("visibilitychange"));
    };
    look(true);
    mock.timers.tick(30_000);
    FakeSocket.all[0].hear({ type: "pong", data: {} });
    look(false);
    mock.timers.tick(10_000);
    assert.deepEqual([FakeSocket.all.length, live.state], [1, "live"], "a short look elsewhere changes nothing");
    FakeSocket.all[0].hear({ type: "pong", data: {} });
    look(true);
    mock.timers.tick(40_000);
    FakeSocket.all[0].hear({ type: "pong", data: {} });
    mock.timers.tick(20_000);
    assert.deepEqual([live.state, FakeSocket.all[0].readyState], ["paused", 3]);
    mock.timers.tick(600_000);
    assert.equal(FakeSocket.all.length, 1);
    look(false);
    assert.match(FakeSocket.all[1].url, /after=p3$/);
    FakeSocket.all[1].open();
    assert.deepEqual(states, ["connecting", "live", "paused", "connecting", "live"]);
    live.stop();
    assert.equal(live.state, "idle");
  } finally {
    delete globalThis.document;
  }
});

const jwt = (ends, name) => `x.${btoa(JSON.stringify({ exp: ends / 1000, name }))}.y`;

test("a token is said first, renewed before it ends, and again when the bridge says that it ended", async () => {
  const given = [jwt(1_000_000 + 90_000, "one"), jwt(1_000_000 + 600_000, "two"), "three"];
  const asked = [];
  const token = new Token(({ refresh }) => (asked.push(refresh), given[asked.length - 1]));
  assert.equal(endOf(given[0]), 1_090_000);
  const { client: live } = client(() => ({}));
  live.token.getToken = token.getToken;
  live.start();
  const [socket] = FakeSocket.all;
  socket.readyState = 1;
  socket.onopen();
  await settle();
  socket.open();
  assert.deepEqual(socket.sent, [{ type: "auth", token: given[0] }]);
  mock.timers.tick(30_000);
  await settle();
  assert.deepEqual(socket.sent.at(-1), { type: "auth", token: given[1] });
  socket.hear({ type: "error", data: { code: "unauthenticated" } });
  await settle();
  assert.deepEqual(socket.sent.at(-1), { type: "auth", token: "three" });
  assert.deepEqual(asked, [false, true, true]);
});

test("parts that find a token refused at the same time ask for one new one", async () => {
  let asked = 0;
  const token = new Token(async () => `t${(asked += 1)}`);
  assert.equal(await token.value(), "t1");
  assert.deepEqual(await Promise.all([token.value("t1"), token.value("t1"), token.value()]), ["t2", "t2", "t1"]);
  assert.equal(await token.value(), "t2");
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

test("who asks is said of the bridge that was named with it, and of no other", () => {
  const getToken = () => "of one";
  configure({ getToken });
  assert.equal(settled({ base: "https://one.example" }).getToken, getToken);
  configure({ base: "https://one.example/", getToken });
  assert.equal(settled({}).getToken, getToken);
  assert.equal(settled({ base: "https://one.example" }).getToken, getToken);
  assert.equal(settled({ base: "https://other.example" }).getToken, null);
  const own = () => "of the other";
  assert.equal(settled({ base: "https://other.example", getToken: own }).getToken, own);
});
