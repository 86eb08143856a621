// A line below the header where something is amiss that concerns every page: what, and what follows.

import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

export class Outage {
  /** @param {{client: import("./kit/client.js").LiveClient, failure: () => string, retry: () => void}} parts failure: why the features could not be loaded, "" where they were */
  constructor({ client, failure, retry }) {
    this.client = client;
    this.failure = failure;
    this.text = h("p", {});
    this.again = h("button", { class: "button button-small", type: "button", onclick: retry }, "Try again");
    this.element = h("div", { class: "outage", role: "alert", hidden: true }, icon("warning"), this.text, this.again);
    client.subscribe("state", () => this.draw());
  }

  draw() {
    const away = this.client.state === "disconnected";
    const failure = this.failure();
    this.element.hidden = !away && failure === "";
    if (away) setText(this.text, "The bridge cannot be reached. You see what was last known; the page goes on by itself when it is back. Is it running?");
    else if (failure !== "") setText(this.text, `The features could not be loaded: ${failure} It is tried again every few seconds.`);
  }
}
