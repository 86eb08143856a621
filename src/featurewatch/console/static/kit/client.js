// The live connection: one WebSocket for everything, tried again with backoff, with SSE where it cannot pass.

import { backoff } from "./backoff.js";
import { Fallback } from "./fallback.js";

/**
 * @typedef {"connecting"|"live"|"live-sse"|"live-polling"|"reconnecting"|"disconnected"|"signed-out"} ConnectionState
 * @typedef {{type: string, featureId?: string, data: any, timestamp: string, id?: string}} Message
 * @typedef {{featureId: string, filters: Record<string, unknown>, after: string}} LogSubscription
 *     `after` is the position of the last message that was seen, "" for the newest lines
 *
 * @typedef {object} Parts what the client is made of, so that tests can hand it others
 * @property {import("./api.js").Api} api
 * @property {string} origin such as http://127.0.0.1:8400
 * @property {typeof WebSocket} WebSocket
 * @property {typeof EventSource} EventSource
 * @property {() => number} [random]
 */

/** A WebSocket that was refused so often, by a bridge that answers otherwise, does not pass: SSE takes over. */
const REFUSALS = 2;
/** While SSE serves, the WebSocket is tried again this often: what blocks it (a proxy, a filter) seldom changes. */
const RETRY_WEBSOCKET = 60_000;
const PING = 20_000;
/** Without any frame for so long the connection is dead, whatever the socket says (a laptop slept, a NAT forgot). */
const SILENCE = 50_000;
const SETTLED = 10_000;

export class LiveClient {
  /** @param {Parts} parts */
  constructor({ api, origin, WebSocket, EventSource, random = Math.random }) {
    this.api = api;
    this.origin = origin;
    this.WebSocket = WebSocket;
    this.random = random;
    this.environment = "";
    /** @type {ConnectionState} */
    this.state = "connecting";
    /** @type {number} epoch ms of the next try, 0 where none is due */
    this.nextTry = 0;
    /** @type {Map<string, Set<(value: any) => void>>} */
    this.listeners = new Map();
    /** @type {LogSubscription|null} */
    this.logs = null;
    /** @type {WebSocket|null} */
    this.socket = null;
    this.failures = 0;
    this.refusals = 0;
    this.heard = 0;
    this.subscribed = 0;
    this.fallback = new Fallback({
      api,
      EventSource,
      deliver: (message) => this.#deliver(message),
      settle: (state) => this.#settle(state),
      random,
    });
  }

  /** Hear messages of a type: "*" for all, "state" for the connection's state. @param {string} type @param {(value: any) => void} listener @returns {() => void} its end */
  subscribe(type, listener) {
    const found = this.listeners.get(type) ?? new Set();
    this.listeners.set(type, found.add(listener));
    return () => found.delete(listener);
  }

  /** Connect, or connect anew for another environment ("" for each feature's own). @param {string} [environment] */
  start(environment = this.environment) {
    this.environment = environment;
    this.failures = 0;
    this.refusals = 0;
    this.fallback.stop();
    this.#settle("connecting");
    this.#connect();
    clearInterval(this.pulse);
    this.pulse = setInterval(() => this.#beat(), PING);
  }

  /** Try at once, for a reader who is back or does not want to wait. */
  retry() {
    if (this.state === "reconnecting" || this.state === "disconnected") this.#connect();
  }

  /** Say which feature is looked at: SSE, which carries one, follows it. @param {string} featureId "" for none */
  focus(featureId) {
    this.fallback.focus(featureId);
  }

  /** Follow a feature's log, or none. @param {LogSubscription|null} subscription */
  followLogs(subscription) {
    const before = this.logs;
    this.logs = subscription;
    if (this.fallback.running) this.fallback.followLogs(subscription);
    else if (this.state === "live") {
      // A second subscription to the same feature replaces the first.
      if (before !== null && before.featureId !== subscription?.featureId) {
        this.#send({ type: "unsubscribe_logs", featureId: before.featureId });
      }
      this.#subscribeLogs();
    }
  }

  #connect() {
    clearTimeout(this.timer);
    this.nextTry = 0;
    this.#drop();
    const query = new URLSearchParams({ featureId: "*", batch: "true" });
    if (this.environment !== "") query.set("environment", this.environment);
    let socket;
    try {
      socket = new this.WebSocket(`${this.origin.replace(/^http/, "ws")}${this.api.prefix}/websocket?${query}`);
    } catch {
      void this.#lost(false, 0);
      return;
    }
    this.socket = socket;
    let confirmed = false;
    // One that neither opens nor fails (packets dropped on the way) is given up.
    const patience = setTimeout(() => socket.close(), 10_000);
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.heard = Date.now();
      const frame = JSON.parse(data);
      for (const message of Array.isArray(frame) ? frame : [frame]) {
        if (message.type === "connection_confirmed" && !confirmed) {
          confirmed = true;
          clearTimeout(patience);
          this.#opened();
        }
        this.#deliver(message);
      }
    };
    socket.onclose = ({ code }) => {
      clearTimeout(patience);
      if (this.socket !== socket) return;
      this.socket = null;
      void this.#lost(confirmed, code);
    };
  }

  #opened() {
    this.failures = 0;
    this.refusals = 0;
    this.fallback.stop();
    this.#settle("live");
    this.#subscribeLogs();
  }

  /** @param {boolean} wasOpen @param {number} code why the socket closed */
  async #lost(wasOpen, code) {
    if (this.fallback.running) {
      this.#later(RETRY_WEBSOCKET);
      return;
    }
    if (wasOpen) {
      this.#settle("reconnecting");
    } else if (this.state !== "disconnected") {
      this.#settle(this.state === "connecting" ? "connecting" : "reconnecting");
    }
    if (wasOpen && code !== 1008) {
      this.#later(backoff(0, this.random));
      return;
    }
    const reach = await this.#reach();
    if (this.socket !== null || this.state === "live") return;
    if (reach === "signed-out") {
      this.#settle("signed-out");
      return;
    }
    this.refusals = reach === "reached" ? this.refusals + 1 : 0;
    if (this.refusals >= REFUSALS) {
      this.fallback.start(this.environment, this.logs);
      this.#later(RETRY_WEBSOCKET);
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

  /** @param {number} delay ms */
  #later(delay) {
    clearTimeout(this.timer);
    this.nextTry = this.fallback.running ? 0 : Date.now() + delay;
    this.timer = setTimeout(() => this.#connect(), delay);
  }

  #beat() {
    if (this.socket?.readyState !== 1) return;
    if (this.heard > 0 && Date.now() - this.heard > SILENCE) this.socket.close();
    else this.#send({ type: "ping" });
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    this.heard = 0;
    socket?.close();
  }

  #subscribeLogs() {
    if (this.logs === null) return;
    this.subscribed = Date.now();
    const { featureId, filters, after } = this.logs;
    this.#send({ type: "subscribe_logs", featureId, filters, ...(after === "" ? {} : { after }) });
  }

  /** @param {unknown} message */
  #send(message) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  /** @param {Message} message */
  #deliver(message) {
    if (message.id && this.logs !== null) {
      const line = message.type === "log_entry" || message.type === "log_history";
      // Any message's id says that all lines before it were sent, once the bridge has taken the subscription in.
      if (line ? message.featureId === this.logs.featureId : Date.now() - this.subscribed > SETTLED) this.logs.after = message.id;
    }
    for (const type of [message.type, "*"]) for (const listener of this.listeners.get(type) ?? []) listener(message);
  }

  /** @param {ConnectionState} state */
  #settle(state) {
    const before = this.state;
    this.state = state;
    if (before !== state) for (const listener of this.listeners.get("state") ?? []) listener(state);
  }
}
