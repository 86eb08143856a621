// What was declared of a feature, as the bridge keeps it: read, changed, and told apart from what somebody else changed.

export class Declaration {
  /** @param {import("./kit/api.js").Api} api @param {string} id */
  constructor(api, id) {
    this.api = api;
    this.id = id;
    this.path = `/features/${encodeURIComponent(id)}`;
    /** @type {Record<string, any>|null} */
    this.feature = null;
    /** @type {string} why it could not be read, "" where it was */
    this.problem = "";
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** @param {() => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Read it. A failure is in `problem`; what was known stays. */
  async load() {
    try {
      this.#settle(await this.api.get(this.path));
    } catch (error) {
      this.problem = /** @type {Error} */ (error).message;
      for (const listener of [...this.listeners]) listener();
    }
  }

  /**
   * Change some fields.
   * @param {Record<string, unknown>} changes
   * @returns {Promise<"saved"|"conflict">} conflict: one of the fields was changed by somebody else since it was read;
   *     `feature` is then what holds now. What was changed in other fields meanwhile is no conflict.
   * @throws {import("./kit/api.js").ApiError} the bridge refused it
   */
  async save(changes) {
    const seen = this.feature;
    for (;;) {
      try {
        this.#settle(await this.api.patch(this.path, changes, this.feature?.revision));
        return "saved";
      } catch (error) {
        if (/** @type {import("./kit/api.js").ApiError} */ (error).status !== 412) throw error;
        const now = await this.api.get(this.path);
        const same = Object.keys(changes).every((name) => JSON.stringify(now[name]) === JSON.stringify(seen?.[name]));
        if (!same) {
          this.#settle(now);
          return "conflict";
        }
        this.feature = now;
      }
    }
  }

  /** Find out who changed it last. @returns {Promise<string>} "" where it cannot be told */
  async lastEditor() {
    try {
      const { deeds } = await this.api.get("/audit", { feature_id: this.id, action: "feature.change", limit: 1 });
      return deeds[0]?.actor ?? "";
    } catch {
      return "";
    }
  }

  /** @param {Record<string, any>} feature */
  #settle(feature) {
    this.feature = feature;
    this.problem = "";
    for (const listener of [...this.listeners]) listener();
  }
}
