// The alerts that are open, kept up by what the stream tells, with what people do about them.

import { oncePerFrame } from "./frame.js";

const SEVERITIES = ["critical", "high", "medium", "low"];
const TYPES = ["alert_triggered", "alert_updated", "alert_resolved"];

/** @typedef {Record<string, any> & {id: string, featureId: string, severity: string, status: string, title: string, message: string, triggered_at: string}} Alert */

export class AlertList {
  /**
   * @param {object} parts
   * @param {import("./client.js").LiveClient} parts.client
   * @param {string} [parts.featureId] "" for all features
   * @param {() => void} parts.changed at most once a frame
   * @param {(type: string, alert: Alert) => void} [parts.happened] told of each change as it comes
   */
  constructor({ client, featureId = "", changed, happened = () => {} }) {
    this.client = client;
    this.featureId = featureId;
    this.happened = happened;
    /** @type {Map<string, Alert>} */
    this.open = new Map();
    this.isLoading = true;
    /** @type {Error|null} */
    this.error = null;
    this.over = false;
    this.told = oncePerFrame(() => this.over || changed());
    const heard = TYPES.map((type) => client.subscribe(type, ({ data }) => this.#take(type, data)));
    // What happened during a break is told again from the last position; where that is too old, it is asked for.
    const back = client.subscribe("connection_confirmed", ({ data }) => data?.recovered === false && void this.refresh());
    this.ends = [...heard, back, client.follow(featureId || "*")];
    void this.refresh();
  }

  /** @returns {Alert[]} the worst first, of those the newest */
  get alerts() {
    return [...this.open.values()].sort(
      (one, other) => SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity) || other.triggered_at.localeCompare(one.triggered_at),
    );
  }

  async refresh() {
    const path = this.featureId === "" ? "/alerts" : `/features/${encodeURIComponent(this.featureId)}/alerts`;
    try {
      const { alerts } = await this.client.api.get(path, { status: "open", limit: 500 });
      if (this.over) return;
      this.open = new Map(alerts.map((/** @type {Alert} */ alert) => [alert.id, alert]));
      this.error = null;
    } catch (error) {
      this.error = /** @type {Error} */ (error);
    }
    this.isLoading = false;
    this.told();
  }

  /** Take an alert on. @param {string} id @param {{comment?: string, expires_minutes?: number}} [body] @returns {Promise<Alert>} */
  acknowledge(id, body = {}) {
    return this.#act(id, "acknowledge", body);
  }

  /** Close an alert by hand. @param {string} id @param {{comment?: string}} [body] @returns {Promise<Alert>} */
  resolve(id, body = {}) {
    return this.#act(id, "resolve", body);
  }

  end() {
    this.over = true;
    for (const end of this.ends) end();
  }

  /** @param {string} id @param {string} action @param {unknown} body */
  async #act(id, action, body) {
    const alert = await this.client.api.post(`/alerts/${encodeURIComponent(id)}/${action}`, body);
    this.#keep(alert);
    return alert;
  }

  /** @param {string} type @param {Alert} alert */
  #take(type, alert) {
    if (this.featureId !== "" && alert.featureId !== this.featureId) return;
    this.#keep(alert);
    this.happened(type, alert);
  }

  /** @param {Alert} alert */
  #keep(alert) {
    if (alert.status === "resolved") this.open.delete(alert.id);
    else this.open.set(alert.id, alert);
    this.told();
  }
}
