// Event streams that parts of a page ask for by name, one for each feature: browsers open only six connections to an origin.

import { EventStream } from "./event-stream.js";

/**
 * @typedef {{hear: (message: any) => void, changed: (isOpen: boolean) => void}} Hearer
 * @typedef {{stream: EventStream, hearers: Set<Hearer>, after: string}} Shared
 */

/** @type {WeakMap<import("./client.js").LiveClient, Map<string, Shared>>} */
const streams = new WeakMap();

/** @param {import("./client.js").LiveClient} client @param {string} featureId "*" for all @param {Hearer} hearer @returns {() => void} its end */
export function shareEvents(client, featureId, hearer) {
  const own = streams.get(client) ?? new Map();
  streams.set(client, own);
  const shared = own.get(featureId) ?? open(client, featureId);
  own.set(featureId, shared);
  shared.hearers.add(hearer);
  hearer.changed(shared.stream.isOpen);
  return () => {
    shared.hearers.delete(hearer);
    if (shared.hearers.size > 0) return;
    // A part that is swapped for another keeps the stream.
    setTimeout(() => {
      if (shared.hearers.size > 0) return;
      shared.stream.close();
      if (own.get(featureId) === shared) own.delete(featureId);
    }, 500);
  };
}

/** @param {import("./client.js").LiveClient} client @param {string} featureId @returns {Shared} */
function open(client, featureId) {
  /** @type {Shared} */
  const shared = {
    hearers: new Set(),
    after: "",
    stream: new EventStream({
      api: client.api,
      EventSource: client.EventSource ?? globalThis.EventSource,
      random: client.random,
      hear: (message) => {
        if (message.id) shared.after = message.id;
        for (const { hear } of [...shared.hearers]) hear(message);
      },
      changed: () => {
        for (const { changed } of [...shared.hearers]) changed(shared.stream.isOpen);
      },
    }),
  };
  shared.stream.open(() => client.api.url("/stream", { featureId, environment: client.environment, after: shared.after }));
  return shared;
}
