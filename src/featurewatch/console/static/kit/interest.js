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
    /** @type {Map<string, () => void>} features whose lines are followed, with what ends it */
    this.lines = new Map();
    /** @type {Set<string>} what the open connection carries */
    this.carried = new Set();
  }

  /** @returns {string[]} what a connection is opened for, "*" alone where somebody wants all; what was let go lingers */
  get names() {
    return this.counts.has("*") ? ["*"] : [...this.counts.keys()].sort();
  }

  /** @param {string} featureId @returns {() => void} its end */
  add(featureId) {
    this.counts.set(featureId, (this.counts.get(featureId) ?? 0) + 1);
    this.#settle();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.counts.set(featureId, (this.counts.get(featureId) ?? 1) - 1);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#forget(), LINGER);
    };
  }

  /** @param {string[]} features whose lines are followed: a connection is opened for them too */
  alsoFor(features) {
    for (const name of features) if (!this.lines.has(name)) this.lines.set(name, this.add(name));
    for (const [name, end] of this.lines) {
      if (features.includes(name)) continue;
      this.lines.delete(name);
      end();
    }
  }

  /** @param {string[]} features what the connection was opened for */
  opened(features) {
    this.carried = new Set(features);
    this.#settle();
  }

  #forget() {
    for (const [name, count] of this.counts) if (count === 0) this.counts.delete(name);
    this.#settle();
  }

  #settle() {
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
