// What all widgets have in common: a shadow root with styles, a share in the page's connection, attributes that are heeded.

import { connect } from "./connect.js";
import { CONTROLS } from "./styles/controls.js";
import { RESET } from "./styles/reset.js";
import { sheet } from "./styles/sheet.js";
import { TOKENS } from "./styles/tokens.js";

/** Absent where pages are rendered on a server: there the module is loaded, and no element is made. */
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

export class FeatureElement extends Base {
  static styles = "";
  /** Another of these means another connection. */
  static own = ["base", "prefix", "environment"];

  /** @type {import("./client.js").LiveClient|null} a connection of the page's own, instead of the shared one */
  #given = null;
  /** @type {import("./connect.js").Connection|null} */
  #shared = null;
  /** @type {import("./token.js").GetToken|null} */
  #getToken = null;
  /** @type {(() => void)[]} */
  #ends = [];
  #joining = false;

  get getToken() {
    return this.#getToken;
  }

  /** Set by script, since no attribute holds a function. */
  set getToken(value) {
    this.#getToken = value;
    this.#rejoin();
  }

  get client() {
    return this.#given ?? this.#shared?.client ?? null;
  }

  set client(value) {
    this.#given = value;
    this.#rejoin();
  }

  get feature() {
    return this.getAttribute("feature") ?? "";
  }

  set feature(value) {
    this.setAttribute("feature", value);
  }

  connectedCallback() {
    this.#takeProperties();
    if (this.shadowRoot === null) {
      const root = this.attachShadow({ mode: "open" });
      const { styles } = /** @type {typeof FeatureElement} */ (this.constructor);
      root.adoptedStyleSheets = [TOKENS, RESET, CONTROLS, styles].map(sheet);
    }
    this.#rejoin();
  }

  disconnectedCallback() {
    this.#leave();
  }

  /** @param {string} name @param {string|null} before @param {string|null} after */
  attributeChangedCallback(name, before, after) {
    if (before === after || this.client === null) return;
    if (FeatureElement.own.includes(name)) this.#rejoin();
    else this.changed(name);
  }

  /** The element has a connection: draw, and follow what is shown. @param {import("./client.js").LiveClient} client */
  joined(client) {
    void client;
  }

  /** An attribute has changed. @param {string} name */
  changed(name) {
    void name;
    this.#rejoin();
  }

  /** Something to end when the element goes, or joins anew. @param {() => void} end */
  until(end) {
    this.#ends.push(end);
  }

  /** Show other content. @param {...Node} nodes */
  fill(...nodes) {
    this.shadowRoot?.replaceChildren(...nodes);
  }

  /** @param {string} type @param {unknown} detail @param {{cancelable?: boolean}} [options] @returns {boolean} false where it was prevented */
  tell(type, detail, { cancelable = false } = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable }));
  }

  /** Join once the page's script has run: it may yet set properties, or the defaults. */
  #rejoin() {
    if (!this.isConnected || this.shadowRoot === null || this.#joining) return;
    this.#joining = true;
    queueMicrotask(() => {
      this.#joining = false;
      const before = this.#shared;
      this.#shared = null;
      this.#end();
      if (this.isConnected) {
        if (this.#given === null) this.#shared = connect({ base: this.#text("base"), prefix: this.#text("prefix"), environment: this.#text("environment"), getToken: this.#getToken });
        this.joined(/** @type {import("./client.js").LiveClient} */ (this.client));
      }
      before?.release();
    });
  }

  #leave() {
    this.#end();
    this.#shared?.release();
    this.#shared = null;
  }

  #end() {
    for (const end of this.#ends.splice(0)) end();
  }

  /** @param {string} name */
  #text(name) {
    return this.getAttribute(name) ?? undefined;
  }

  /** Properties that were set before the element was defined hide the setters. */
  #takeProperties() {
    const self = /** @type {Record<string, any>} */ (/** @type {unknown} */ (this));
    for (const name of Object.keys(self)) {
      const value = self[name];
      delete self[name];
      self[name] = value;
    }
  }
}
