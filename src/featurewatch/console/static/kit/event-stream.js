// One EventSource that opens again where it stopped, with a new ticket each time where tokens are used.

import { backoff } from "./backoff.js";

/** One that neither opens nor fails within so many ms (a proxy that holds answers back) is tried again. */
const PATIENCE = 10_000;
const OPEN = 1;

/**
 * @typedef {object} StreamParts
 * @property {import("./api.js").Api} api
 * @property {typeof EventSource} EventSource
 * @property {() => number} random
 * @property {(message: any) => void} hear
 * @property {() => void} changed told when it opens or breaks
 */

export class EventStream {
  /** @param {StreamParts} parts */
  constructor({ api, EventSource, random, hear, changed }) {
    this.api = api;
    this.EventSource = EventSource;
    this.random = random;
    this.hear = hear;
    this.changed = changed;
    /** @type {(() => string)|null} */
    this.address = null;
    /** @type {EventSource|null} */
    this.source = null;
    this.failures = 0;
    this.greeted = false;
    this.tries = 0;
  }

  /** Whether events come: the first one has. */
  get isOpen() {
    return this.greeted && this.source?.readyState === OPEN;
  }

  /** @param {(() => string)|null} address made at each try, so that it resumes after the last position; null to close */
  open(address) {
    this.close();
    this.address = address;
    if (address !== null) void this.#connect();
  }

  /** Open it anew, by an address that has changed. */
  reopen() {
    if (this.address !== null) this.open(this.address);
  }

  close() {
    this.tries += 1;
    clearTimeout(this.timer);
    clearTimeout(this.patience);
    this.source?.close();
    this.source = null;
    this.address = null;
    this.failures = 0;
    this.greeted = false;
  }

  async #connect() {
    const mine = ++this.tries;
    this.greeted = false;
    let address = /** @type {() => string} */ (this.address)();
    if (this.api.token.used) {
      try {
        const { ticket } = await this.api.post("/tickets", {});
        address += `${address.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(ticket)}`;
      } catch {
        if (mine === this.tries) this.#again(null);
        return;
      }
      if (mine !== this.tries) return;
    }
    const source = new this.EventSource(address);
    this.source = source;
    this.patience = setTimeout(() => this.#again(source), PATIENCE);
    source.onmessage = ({ data, lastEventId }) => {
      if (this.source !== source) return;
      if (!this.greeted) {
        clearTimeout(this.patience);
        this.greeted = true;
        this.failures = 0;
        this.changed();
      }
      const message = JSON.parse(data);
      if (message.type !== undefined) this.hear(lastEventId && !message.id ? { ...message, id: lastEventId } : message);
    };
    // The browser's own way of trying again would send a ticket that was used, and an older position.
    source.onerror = () => this.#again(source);
  }

  /** @param {EventSource|null} source the one that failed */
  #again(source) {
    if (this.source !== source || this.address === null) return;
    clearTimeout(this.patience);
    source?.close();
    this.source = null;
    this.greeted = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#connect(), backoff(this.failures++, this.random));
    this.changed();
  }
}
