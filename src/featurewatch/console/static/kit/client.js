// The live connection: one WebSocket for a whole page, tried again with backoff, with SSE where it cannot pass.

import { Api, queryOf } from "./api.js";
import { backoff } from "./backoff.js";
import { EventStream } from "./event-stream.js";
import { Handover } from "./handover.js";
import { Interest } from "./interest.js";
import { LogLines } from "./log-lines.js";
import { SocketAuth } from "./socket-auth.js";
import { Token } from "./token.js";
import { Visibility } from "./visibility.js";

/**
 * @typedef {"idle"|"connecting"|"live"|"live-sse"|"reconnecting"|"disconnected"|"signed-out"|"paused"} ConnectionState
 * @typedef {{type: string, featureId?: string, data: any, timestamp: string, id?: string}} Message
 *
 * @typedef {object} ClientOptions
 * @property {string} [base]        the bridge's origin, such as https://watch.example; "" for the page's own
 * @property {string} [prefix]      where the API lives
 * @property {import("./token.js").GetToken|null} [getToken] where no cookie says who asks
 * @property {string} [environment] "" for each feature's own
 * @property {number} [hiddenAfter] ms after which a hidden page lets its connection go, 0 for never; it resumes when it is seen
 * @property {number} [retryWebSocket] ms after which a WebSocket is tried beside SSE; each time twice as long, up to ten times
 * @property {Api} [api] @property {(url: string, init?: RequestInit) => Promise<Response>} [fetch] @property {typeof WebSocket} [WebSocket]
 * @property {typeof EventSource} [EventSource] @property {() => number} [random]
 */

/** A WebSocket that was refused so often, by a bridge that answers otherwise, does not pass: SSE takes over. */
const REFUSALS = 2;
/** One that has not brought its first message by then is doubted: SSE starts beside it. */
const DOUBT = 2_000;
const PATIENCE = 10_000;
const PING = 20_000;
/** Without any frame for so long the connection is dead, whatever the socket says (a laptop slept, a NAT forgot). */
const SILENCE = 50_000;
/** One that is cut sooner, again and again, is cut by what stands on the way. */
const SHORT = 10_000;

export class LiveClient {
  /** @param {ClientOptions} [options] */
  constructor({ base = "", prefix = "/api/v1", getToken = null, environment = "", hiddenAfter = 300_000, retryWebSocket = 60_000, random = Math.random, ...parts } = {}) {
    this.token = parts.api?.token ?? new Token(getToken);
    this.api = parts.api ?? new Api({ base, prefix, token: this.token, fetch: parts.fetch });
    this.WebSocket = parts.WebSocket;
    this.EventSource = parts.EventSource;
    this.random = random;
    this.retryWebSocket = retryWebSocket;
    this.environment = environment;
    /** @type {ConnectionState} */
    this.state = "idle";
    /** @type {number} epoch ms of the next try, 0 where none is due */
    this.nextTry = 0;
    /** The last message's position: what came since is sent first when the connection is back. */
    this.position = "";
    /** @type {Map<string, any>} the last snapshot of each feature */
    this.snapshots = new Map();
    /** @type {Map<string, Set<(value: any) => void>>} */
    this.listeners = new Map();
    /** @type {WebSocket|null} */
    this.socket = null;
    this.confirmed = false;
    this.started = false;
    this.failures = 0;
    this.refusals = 0;
    this.cuts = 0;
    this.blocked = 0;
    this.heard = 0;
    this.interest = new Interest({
      send: (message) => this.send(message),
      changed: (anew) => this.#interestChanged(anew),
    });
    const stream = (/** @type {(message: any) => void} */ hear, changed = () => {}) =>
      new EventStream({ api: this.api, EventSource: this.EventSource ?? globalThis.EventSource, random, hear, changed });
    this.lines = new LogLines({
      api: this.api,
      send: (message) => this.send(message),
      stream: (hear) => stream((message) => {
        hear(message);
        this.#announce(message);
      }),
      changed: () => this.interest.alsoFor(this.lines.features),
    });
    this.events = stream((message) => this.#deliver(message), () => void this.#eventsChanged());
    this.auth = new SocketAuth(this.token);
    this.bySse = false;
    this.handover = new Handover();
    this.visibility = new Visibility({ hiddenAfter, hide: () => this.#pause(), show: () => this.#seen() });
  }

  get isConnected() {
    return this.state === "live" || this.state === "live-sse";
  }

  /** Hear messages of a type: "*" for all, "state" for the connection's state. @param {string} type @param {(value: any) => void} listener @returns {() => void} its end */
  subscribe(type, listener) {
    const found = this.listeners.get(type) ?? new Set();
    this.listeners.set(type, found.add(listener));
    return () => found.delete(listener);
  }

  /** Watch a feature's figures and events, "*" for all. @param {string} featureId @returns {() => void} its end */
  follow(featureId) {
    return this.interest.add(featureId);
  }

  /**
   * Follow a feature's lines.
   * @param {import("./log-groups.js").LogMember} member @param {string} [after] where a former following was
   */
  followLogs(member, after) {
    return this.lines.join(member, after);
  }

  /** Connect, or connect anew for another environment ("" for each feature's own). @param {string} [environment] */
  start(environment = this.environment) {
    if (environment !== this.environment) {
      this.position = "";
      this.snapshots.clear();
    }
    this.environment = environment;
    this.started = true;
    this.failures = this.refusals = this.cuts = this.blocked = 0;
    this.#stopEvents();
    this.#settle("connecting");
    this.visibility.start();
    clearInterval(this.pulse);
    this.pulse = setInterval(() => this.#beat(), PING);
    this.#connect();
  }

  /** Let go of everything; `start` begins again where it was. */
  stop() {
    this.started = false;
    this.visibility.stop();
    clearInterval(this.pulse);
    this.#letGo();
    this.#settle("idle");
  }

  /** Try at once, for a reader who is back or does not want to wait; by SSE the WebSocket is tried again. */
  retry() {
    if (this.started && ["reconnecting", "disconnected", "live-sse", "paused", "signed-out"].includes(this.state)) this.#connect();
  }

  /** Say something to the bridge. @param {Record<string, unknown>} message @returns {boolean} false where no WebSocket is open */
  send(message) {
    if (!this.confirmed || this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    clearTimeout(this.timer);
    this.nextTry = 0;
    this.#drop();
    const features = this.interest.names;
    if (features.length === 0) return this.#settle("idle");
    if (!this.isConnected && this.state !== "reconnecting" && this.state !== "disconnected") this.#settle("connecting");
    const query = new URLSearchParams([...features.map((name) => ["featureId", name]), ["batch", "true"]]);
    if (this.environment !== "") query.set("environment", this.environment);
    if (this.position !== "") query.set("after", this.position);
    let socket;
    try {
      const address = `${this.api.base || globalThis.location?.origin}${this.api.prefix}/websocket?${query}`;
      socket = new (this.WebSocket ?? globalThis.WebSocket)(address.replace(/^http/, "ws"));
    } catch {
      void this.#lost(0, null);
      return;
    }
    this.socket = socket;
    this.confirmed = false;
    /** @type {number|null} */
    let opened = null;
    const doubt = setTimeout(() => void this.#doubt(socket), DOUBT);
    // One that neither opens nor fails (packets dropped on the way) is given up.
    const patience = setTimeout(() => socket.close(), PATIENCE);
    socket.onopen = () => void this.auth.send(socket);
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.heard = Date.now();
      const frame = JSON.parse(data);
      for (const message of Array.isArray(frame) ? frame : [frame]) {
        if (message.type === "connection_confirmed" && !this.confirmed) {
          clearTimeout(doubt);
          clearTimeout(patience);
          opened = Date.now();
          this.#opened(features);
        }
        this.#deliver(message);
        this.lines.hear(message);
      }
    };
    socket.onclose = ({ code }) => {
      clearTimeout(doubt);
      clearTimeout(patience);
      if (this.socket !== socket) return;
      this.socket = null;
      this.confirmed = false;
      void this.#lost(code, opened && Date.now() - opened);
    };
  }

  /** @param {string[]} features those that the connection was opened for */
  #opened(features) {
    this.confirmed = true;
    this.failures = this.refusals = this.blocked = 0;
    if (this.bySse) this.handover.begin();
    this.#stopEvents();
    this.interest.opened(features);
    this.#settle("live");
    this.lines.use("socket");
  }

  /** @param {WebSocket} socket one that has not brought its first message yet */
  async #doubt(socket) {
    const reach = await this.#reach();
    if (this.socket !== socket || this.confirmed) return;
    if (reach === "signed-out") this.#signedOut();
    else if (reach === "reached") this.#startEvents();
    else if (!this.bySse) this.#settle("disconnected");
  }

  /** @param {number} code why the socket closed @param {number|null} lived ms since its first message, null where none came */
  async #lost(code, lived) {
    this.lines.use(this.bySse ? "streams" : "none");
    if (this.bySse) {
      this.blocked += 1;
      this.#later(this.events.isOpen ? Math.min(this.retryWebSocket * 2 ** (this.blocked - 1), this.retryWebSocket * 10) : backoff(this.failures++, this.random));
      return;
    }
    this.cuts = lived !== null && lived < SHORT && code === 1006 ? this.cuts + 1 : 0;
    if (lived !== null || !["connecting", "disconnected"].includes(this.state)) this.#settle("reconnecting");
    if (lived !== null && code !== 1008 && this.cuts < REFUSALS) {
      this.#later(backoff(0, this.random));
      return;
    }
    const reach = await this.#reach();
    if (!this.started || this.socket !== null || this.bySse || this.state === "paused") return;
    if (reach === "signed-out") {
      this.#signedOut();
      return;
    }
    this.refusals = reach === "reached" ? this.refusals + 1 : 0;
    if (this.refusals >= REFUSALS || this.cuts >= REFUSALS) {
      this.#startEvents();
      this.#later(this.retryWebSocket);
      return;
    }
    if (reach === "unreachable") this.#settle("disconnected");
    this.failures += 1;
    this.#later(backoff(this.failures - 1, this.random));
  }

  /** Find out whether it is the WebSocket that fails, or the bridge. */
  async #reach() {
    try {
      await this.api.get("/me");
    } catch (error) {
      const { status = 0 } = /** @type {{status?: number}} */ (error);
      if (status === 401) return "signed-out";
      // A proxy in front of a bridge that is down answers too, with 502, 503 or 504.
      if (status === 0 || status >= 500) return "unreachable";
    }
    return "reached";
  }

  #startEvents() {
    if (this.bySse || this.interest.names.length === 0) return;
    this.bySse = true;
    this.handover.begin();
    this.events.open(() => {
      const { names } = this.interest;
      const features = names.map((name) => `featureId=${encodeURIComponent(name)}`).join("&");
      return `${this.api.url("/stream")}?${features}${queryOf({ environment: this.environment, after: this.position }).replace("?", "&")}`;
    });
    this.lines.use("streams");
  }

  #stopEvents() {
    this.bySse = false;
    this.events.close();
  }

  async #eventsChanged() {
    if (!this.bySse) return;
    if (this.events.isOpen) {
      this.failures = 0;
      this.#settle("live-sse");
      return;
    }
    if (this.state === "live-sse") this.#settle("reconnecting");
    const reach = await this.#reach();
    if (!this.bySse || this.events.isOpen) return;
    if (reach === "signed-out") this.#signedOut();
    else if (reach === "unreachable") this.#settle("disconnected");
    // Where events do not come about either, it was not the WebSocket: both are tried.
    if (this.bySse && this.socket === null) this.#later(backoff(this.failures++, this.random));
  }

  #signedOut() {
    this.#letGo();
    this.token.forget();
    this.#settle("signed-out");
  }

  /** @param {number} delay ms */
  #later(delay) {
    clearTimeout(this.timer);
    this.nextTry = this.bySse ? 0 : Date.now() + delay;
    this.timer = setTimeout(() => this.#connect(), delay);
  }

  #beat() {
    if (this.socket?.readyState !== 1) return;
    if (this.heard > 0 && Date.now() - this.heard > SILENCE) this.socket.close();
    else this.send({ type: "ping" });
  }

  #pause() {
    this.#letGo();
    this.#settle("paused");
  }

  #seen() {
    // A page that slept is answered by a dead connection as long as nobody asks.
    const dead = this.state === "live" && Date.now() - this.heard > PING + 5_000;
    if (dead) {
      this.#settle("reconnecting");
      this.#connect();
    } else {
      this.retry();
    }
  }

  #letGo() {
    clearTimeout(this.timer);
    this.auth.stop();
    this.nextTry = 0;
    this.#stopEvents();
    this.#drop();
    this.lines.use("none");
  }

  #drop() {
    const { socket } = this;
    this.socket = null;
    this.confirmed = false;
    this.heard = 0;
    socket?.close();
  }

  /** @param {boolean} anew */
  #interestChanged(anew) {
    if (!this.started || this.state === "paused" || this.state === "signed-out") return;
    const none = this.interest.names.length === 0;
    if (none) this.#stopEvents();
    else if (this.bySse) this.events.reopen();
    if (anew || none || this.state === "idle") this.#connect();
  }

  /** @param {Message} message */
  #deliver(message) {
    if (message.id) this.position = message.id;
    if (message.type === "metrics_update") this.snapshots.set(message.featureId ?? message.data.featureId, message.data);
    if (message.type === "error" && message.data?.code === "unauthenticated") void this.auth.renew();
    if (!this.handover.knows(message)) this.#announce(message);
  }

  /** @param {Message} message */
  #announce(message) {
    for (const type of [message.type, "*"]) this.#tell(type, message);
  }

  /** @param {ConnectionState} state */
  #settle(state) {
    if (this.state === state) return;
    this.state = state;
    this.#tell("state", state);
  }

  /** @param {string} type @param {any} value */
  #tell(type, value) {
    for (const listener of [...(this.listeners.get(type) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        // One part's mistake must not keep the others from hearing.
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
