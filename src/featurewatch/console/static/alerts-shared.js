// What the parts of alerting share on a page: the open alerts, and what the caller may do.

import { AlertsFeed } from "./alerts-feed.js";

/** @typedef {import("./main.js").Context} Context */

/** What the caller may do, as `GET /me` tells it. */
export class Access {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.actions = new Set();
    /** @type {string[]} patterns of the features that the caller may see */
    this.features = [];
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** Ask again, at first and after signing in. */
  async load() {
    try {
      const me = await this.api.get("/me");
      this.actions = new Set(me.actions ?? []);
      this.features = me.features ?? [];
    } catch {
      // Not signed in, or not reached: nothing is offered that would be refused.
      this.actions = new Set();
      this.features = [];
    }
    for (const listener of [...this.listeners]) listener();
  }

  /** @param {"read"|"act"|"edit"} action */
  may(action) {
    return this.actions.has(action);
  }

  /** Channels are of all features: only who sees them all may edit them. */
  mayEditChannels() {
    return this.may("edit") && this.features.includes("*");
  }

  /** @param {() => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** @type {WeakMap<object, {feed: AlertsFeed, access: Access}>} */
const shared = new WeakMap();

/** Return the parts of a console, made once. @param {Context} context */
export function alerting(context) {
  let found = shared.get(context);
  if (found === undefined) {
    found = { feed: new AlertsFeed(context), access: new Access(context.api) };
    shared.set(context, found);
    const { feed, access } = found;
    const load = () => void Promise.all([feed.load(), access.load()]);
    // Signing in connects anew; until then everything is refused.
    context.client.subscribe("state", (state) => state === "live" && access.actions.size === 0 && void access.load());
    load();
  }
  return found;
}
