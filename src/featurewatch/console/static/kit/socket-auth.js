// The token on an open WebSocket: said first, renewed before it ends, and again when the bridge says that it ended.

import { RENEW_BEFORE } from "./token.js";

/** A page that gives the same token once more has no other yet: it is asked again after so many ms. The bridge waits 30 s. */
const AGAIN = 5_000;
/** What a timer can hold, ms. */
const LONGEST = 2 ** 31 - 1;

export class SocketAuth {
  /** @param {import("./token.js").Token} token */
  constructor(token) {
    this.token = token;
    /** @type {WebSocket|null} */
    this.socket = null;
    /** @type {string|null} */
    this.sent = null;
  }

  /** Say who asks, on a socket that has just opened. @param {WebSocket} socket */
  async send(socket) {
    this.stop();
    if (!this.token.used) return;
    this.socket = socket;
    await this.#say(null);
  }

  /** Say it with another token: the one that was said ends, or ended. */
  async renew() {
    if (this.socket !== null) await this.#say(this.sent);
  }

  stop() {
    clearTimeout(this.timer);
    this.socket = this.sent = null;
  }

  /** @param {string|null} refused */
  async #say(refused) {
    clearTimeout(this.timer);
    const { socket } = this;
    let token = refused;
    try {
      token = await this.token.value(refused);
    } catch {
      // Who gives tokens cannot be reached: it is asked again, as long as the socket stays open.
    }
    if (socket === null || this.socket !== socket || socket.readyState !== 1) return;
    const fresh = token && token !== refused;
    if (fresh) socket.send(JSON.stringify({ type: "auth", token }));
    this.sent = token;
    const wait = fresh ? Math.max(1_000, this.token.ends - Date.now() - RENEW_BEFORE) : AGAIN;
    if (wait < LONGEST) this.timer = setTimeout(() => void this.renew(), wait);
  }
}
