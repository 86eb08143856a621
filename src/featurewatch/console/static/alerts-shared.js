// What the parts of alerting share on a page: the open alerts, read once for all of them.

import { AlertsFeed } from "./alerts-feed.js";

/** @type {WeakMap<object, AlertsFeed>} */
const feeds = new WeakMap();

/** Return the open alerts of a console, made and read at first use. @param {import("./main.js").Context} context */
export function feedOf(context) {
  let feed = feeds.get(context);
  if (feed === undefined) {
    feed = new AlertsFeed(context);
    feeds.set(context, feed);
    void feed.load();
  }
  return feed;
}

/** Channels are of all features: only who sees them all may edit them. @param {import("./caller.js").Caller} caller */
export function mayEditChannels(caller) {
  return caller.may("edit") && (caller.me?.features ?? []).includes("*");
}
