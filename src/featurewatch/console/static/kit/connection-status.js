// <connection-status>: whether what the page shows is live.

import { connectionBadge } from "./badge.js";
import { FeatureElement } from "./element.js";

export class ConnectionStatus extends FeatureElement {
  static observedAttributes = FeatureElement.own;
  static styles = ":host { display: inline-block; }";

  /** @param {import("./client.js").LiveClient} client */
  joined(client) {
    const { badge, end } = connectionBadge(client);
    this.until(end);
    this.until(client.subscribe("state", (state) => this.tell("statechange", { state, isConnected: client.isConnected })));
    this.fill(badge);
  }
}
