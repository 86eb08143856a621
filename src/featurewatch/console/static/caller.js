// Who looks at the console, and what they may do: what they may not is not offered.

/** @typedef {"read"|"act"|"edit"|"administer"} Action */

export class Caller {
  /** @param {import("./kit/api.js").Api} api */
  constructor(api) {
    this.api = api;
    /** @type {{name: string, role: string, features?: string[], actions: string[], authentication: boolean}|null} null until it is known */
    this.me = null;
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** Hear when it becomes known, or another. @param {() => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tell whether the caller may do something; nothing until it is known. @param {Action} action */
  may(action) {
    return this.me?.actions?.includes(action) ?? false;
  }

  /** Ask the bridge; a failure leaves what was known. */
  async load() {
    try {
      this.me = await this.api.get("/me");
    } catch (error) {
      if (/** @type {import("./kit/api.js").ApiError} */ (error).status !== 401) return;
      this.me = null;
    }
    for (const listener of [...this.listeners]) listener();
  }
}
