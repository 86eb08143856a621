// The open alerts that the caller may see, kept live: read once, then changed by what the stream tells.

import { byUrgency, legible } from "./alerts-words.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */

const TYPES = ["alert_triggered", "alert_updated", "alert_resolved"];
/** How often all is read again: a stream tells of one environment of each feature, and alerts are of all. */
const AGAIN = 10_000;
const FAILED = 5_000;

export class AlertsFeed {
  /** @param {{api: import("./kit/api.js").Api, client: import("./kit/client.js").LiveClient}} parts */
  constructor({ api, client }) {
    this.api = api;
    this.client = client;
    /** @type {Map<string, Alert>} */
    this.open = new Map();
    this.loaded = false;
    this.failure = "";
    this.read = 0;
    this.loading = false;
    /** @type {Alert[]} what was told while the list was read: the answer may be older */
    this.meanwhile = [];
    /** @type {Set<(alert: Alert|null, type: string) => void>} */
    this.listeners = new Set();
    for (const type of TYPES) client.subscribe(type, ({ data }) => this.take(data, type));
    client.subscribe("state", (state) => state.startsWith("live") && void this.load());
    setInterval(() => this.#keepUp(), 2_500);
  }

  /** Hear of changes: with an alert and what happened to it, or null where all was read. @param {(alert: Alert|null, type: string) => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Read what is open, once at a time. */
  async load() {
    if (this.loading) return;
    this.loading = true;
    this.read = Date.now();
    this.meanwhile = [];
    /** @type {Alert[]} */
    let news = [];
    try {
      /** @type {Map<string, Alert>} */
      const found = new Map();
      let cursor = "";
      do {
        const { alerts, next_cursor: next } = await this.api.get("/alerts", { status: "open", limit: 1000, cursor });
        for (const alert of alerts) found.set(alert.id, legible(alert));
        cursor = next ?? "";
      } while (cursor !== "");
      if (this.loaded) news = [...found.values()].filter(({ id, status }) => status === "active" && !this.open.has(id));
      this.open = found;
      for (const alert of this.meanwhile) this.#put(alert);
      this.loaded = true;
      this.failure = "";
    } catch (error) {
      const { status, message } = /** @type {import("./kit/api.js").ApiError} */ (error);
      this.failure = status === 401 ? "" : message;
    }
    this.loading = false;
    this.#tell(null, "read");
    // What no stream told: it is as new to the reader as any other.
    for (const alert of news) if (this.open.get(alert.id)?.status === "active") this.#tell(alert, "alert_triggered");
  }

  /** Take an alert as it is now: from the stream, or as the answer to an action. @param {Alert} alert @param {string} [type] */
  take(alert, type = "alert_updated") {
    alert = legible(alert);
    if (this.loading) this.meanwhile.push(alert);
    this.#put(alert);
    this.#tell(alert, type);
  }

  /** List the open alerts, the worst first. @param {{feature?: string, environment?: string}} [wanted] "" for all */
  list({ feature = "", environment = "" } = {}) {
    return [...this.open.values()]
      .filter((alert) => (feature === "" || alert.featureId === feature) && (environment === "" || alert.environment === environment))
      .sort(byUrgency);
  }

  /** @param {Alert} alert */
  #put(alert) {
    if (alert.status === "resolved") this.open.delete(alert.id);
    else this.open.set(alert.id, alert);
  }

  #keepUp() {
    const pause = this.failure !== "" ? FAILED : AGAIN;
    if (!document.hidden && this.client.state !== "signed-out" && Date.now() - this.read >= pause) void this.load();
  }

  /** @param {Alert|null} alert @param {string} type */
  #tell(alert, type) {
    for (const listener of [...this.listeners]) listener(alert, type);
  }
}
