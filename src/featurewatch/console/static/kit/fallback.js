// Live without a WebSocket: SSE for the feature that is looked at and for its log, polling for the rest.
//
// One EventSource per feature would soon use up the six connections that a browser opens to an origin over HTTP/1.1,
// and then nothing else would load. So there are at most two, and one request every few seconds for all figures.

import { backoff } from "./backoff.js";
import { queryOf } from "./api.js";

const POLL = 5_000;

/**
 * @typedef {object} FallbackParts
 * @property {import("./api.js").Api} api
 * @property {typeof EventSource} EventSource
 * @property {(message: import("./client.js").Message) => void} deliver
 * @property {(state: import("./client.js").ConnectionState) => void} settle
 * @property {() => number} random
 */

export class Fallback {
  /** @param {FallbackParts} parts */
  constructor({ api, EventSource, deliver, settle, random }) {
    this.api = api;
    this.deliver = deliver;
    this.settle = settle;
    this.running = false;
    this.environment = "";
    this.featureId = "";
    const stream = (/** @type {(message: any) => void} */ hear) => new Stream({ EventSource, random, hear, changed: () => this.#judge() });
    this.metrics = stream((message) => deliver(message));
    this.logs = stream((message) => deliver(message));
    /** @type {boolean|null} whether the last poll was answered, null before the first */
    this.polled = null;
  }

  /** @param {string} environment @param {import("./client.js").LogSubscription|null} logs */
  start(environment, logs) {
    this.running = true;
    this.polled = null;
    this.environment = environment;
    this.focus(this.featureId);
    this.followLogs(logs);
    void this.#poll();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
    this.metrics.close();
    this.logs.close();
  }

  /** @param {string} featureId */
  focus(featureId) {
    this.featureId = featureId;
    if (!this.running) return;
    const query = queryOf({ environment: this.environment });
    this.metrics.open(featureId === "" ? null : () => `${this.api.prefix}/features/${encodeURIComponent(featureId)}/metrics/stream${query}`);
    this.#judge();
  }

  /** @param {import("./client.js").LogSubscription|null} subscription */
  followLogs(subscription) {
    if (!this.running) return;
    // The address is made at each try, so that it resumes after the last line that came.
    this.logs.open(subscription && (() => {
      const { featureId, filters, after } = subscription;
      return `${this.api.prefix}/features/${encodeURIComponent(featureId)}/logs/stream${queryOf({ ...filters, after })}`;
    }));
  }

  async #poll() {
    clearTimeout(this.timer);
    const { environment } = this;
    try {
      const { data } = await this.api.get("/metrics/current", { environment });
      if (!this.running || this.environment !== environment) return;
      this.polled = true;
      for (const snapshot of data) {
        this.deliver({ type: "metrics_update", featureId: snapshot.featureId, data: snapshot, timestamp: snapshot.timestamp });
      }
    } catch {
      this.polled = false;
    }
    if (!this.running) return;
    this.#judge();
    this.timer = setTimeout(() => void this.#poll(), POLL);
  }

  /** Say what carries the console now. */
  #judge() {
    if (!this.running) return;
    const open = this.metrics.isOpen || this.logs.isOpen;
    if (open) this.settle("live-sse");
    else if (this.polled !== null) this.settle(this.polled ? "live-polling" : "disconnected");
  }
}

/** One EventSource that opens again after errors too, on which the browser's own gives up. */
class Stream {
  /** @param {{EventSource: typeof EventSource, random: () => number, hear: (message: any) => void, changed: () => void}} parts */
  constructor({ EventSource, random, hear, changed }) {
    this.EventSource = EventSource;
    this.random = random;
    this.hear = hear;
    this.changed = changed;
    /** @type {(() => string)|null} */
    this.address = null;
    /** @type {EventSource|null} */
    this.source = null;
    this.failures = 0;
  }

  get isOpen() {
    return this.source?.readyState === 1;
  }

  /** @param {(() => string)|null} address null to close */
  open(address) {
    this.close();
    this.address = address;
    if (address !== null) this.#connect();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.address = null;
    this.failures = 0;
  }

  #connect() {
    if (this.address === null) return;
    const source = new this.EventSource(this.address());
    this.source = source;
    source.onopen = () => {
      this.failures = 0;
      this.changed();
    };
    source.onmessage = ({ data, lastEventId }) => {
      const message = JSON.parse(data);
      if (message.type !== undefined) this.hear(lastEventId && !message.id ? { ...message, id: lastEventId } : message);
    };
    source.onerror = () => {
      this.changed();
      if (source.readyState !== 2 || this.source !== source) return;
      this.timer = setTimeout(() => this.#connect(), backoff(this.failures++, this.random));
    };
  }
}
