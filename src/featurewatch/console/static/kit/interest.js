// Which features the parts of a page watch, counted, so that the connection carries each once.

/** How long (ms) what nobody watches any more is still carried: pages swap their parts, and React runs effects twice. */
const LINGER = 1_000;

export class Interest {
  /** @param {{send: (message: Record<string, unknown>) => boolean, changed: (anew: boolean) => void}} parts anew: only another connection can carry it */
  constructor({ send, changed }) {
    this.send = send;
    this.changed = changed;
    /** @type {Map<string, number>} */
    this.counts = new Map();
    /** @type {string[]} features whose lines are followed */
    this.lines = [];
    /** @type {Set<string>} what the open connection carries */
    this.carried = new Set();
  }

  /** @returns {string[]} what a connection is opened for, "*" alone where somebody wants all */
  get names() {
    return this.counts.has("*") ? ["*"] : [...new Set([...this.counts.keys(), ...this.lines])].sort();
  }

  /** @param {string} featureId @returns {() => void} its end */
  add(featureId) {
    this.counts.set(featureId, (this.counts.get(featureId) ?? 0) + 1);
    this.#settle();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      const left = (this.counts.get(featureId) ?? 1) - 1;
      if (left > 0) this.counts.set(featureId, left);
      else this.counts.delete(featureId);
      this.#settleLater();
    };
  }

  /** @param {string[]} features whose lines are followed: a connection is opened for them too */
  alsoFor(features) {
    const more = features.length > this.lines.length;
    this.lines = features;
    if (more) this.#settle();
    else this.#settleLater();
  }

  /** @param {string[]} features what the connection was opened for */
  opened(features) {
    this.carried = new Set(features);
    this.#settle();
  }

  #settleLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#settle(), LINGER);
  }

  #settle() {
    clearTimeout(this.timer);
    const wanted = new Set(this.names);
    const same = wanted.size === this.carried.size && [...wanted].every((name) => this.carried.has(name));
    if (same) return;
    const { carried } = this;
    // `*` takes the place of all others, and cannot be taken back but by another connection.
    const over = carried.has("*") && !wanted.has("*");
    if (!over) {
      for (const name of wanted) if (!carried.has(name)) this.send({ type: "subscribe", featureId: name });
      if (!wanted.has("*")) for (const name of carried) if (!wanted.has(name)) this.send({ type: "unsubscribe", featureId: name });
    }
    this.carried = wanted;
    this.changed(over);
  }
}
