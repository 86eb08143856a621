// What the console knows of every feature, and who wants to know when it changes.

import { plain } from "./kit/plain-text.js";

/**
 * @typedef {object} Snapshot
 * @property {string} featureId @property {string} environment @property {string} timestamp
 * @property {Record<string, number|null>} metrics @property {Record<string, string>} [statuses]
 * @property {"healthy"|"warning"|"error"|"unknown"} health_status
 * @property {string[]} [reasons]
 * @property {{type: string, message: string, severity: string, timestamp: string}[]} [alerts]
 * @property {boolean} stale
 *
 * @typedef {object} Feature
 * @property {string} id
 * @property {Record<string, any>} about   what GET /features says of it
 * @property {Snapshot|null} snapshot      its last figures
 */

const RANK = { error: 0, warning: 1, unknown: 2, healthy: 3 };

/**
 * Order features by trouble. Within a health they stand by open alerts and name, not by a figure: rows that trade
 * places at every update cannot be read.
 * @param {Feature} one @param {Feature} other
 */
export function byTrouble(one, other) {
  return (
    RANK[healthOf(one)] - RANK[healthOf(other)] ||
    (other.snapshot?.alerts?.length ?? 0) - (one.snapshot?.alerts?.length ?? 0) ||
    nameOf(one).localeCompare(nameOf(other))
  );
}

/** @param {Feature} feature @returns {"healthy"|"warning"|"error"|"unknown"} */
export function healthOf(feature) {
  const health = feature.snapshot?.health_status ?? feature.about.health_indicators?.status;
  return health in RANK ? health : "unknown";
}

/** @param {Feature} feature @returns {string} */
export function nameOf(feature) {
  return plain(feature.about.name || feature.id);
}

export class Store {
  constructor() {
    /** @type {Map<string, Feature>} */
    this.features = new Map();
    this.loaded = false;
    /** @type {Set<(id: string|null) => void>} */
    this.listeners = new Set();
  }

  /** Hear of changes: with a feature's id, or null when the set of features changed. @param {(id: string|null) => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @param {Record<string, any>[]} list what GET /features answers */
  setFeatures(list) {
    const before = this.features;
    this.features = new Map(list.map((about) => [about.id, { id: about.id, about, snapshot: before.get(about.id)?.snapshot ?? null }]));
    this.loaded = true;
    this.#tell(null);
  }

  /** Take what was declared of a feature anew. @param {Record<string, any>} about */
  describe(about) {
    const known = this.features.get(about.id);
    if (known === undefined) return;
    known.about = { ...known.about, ...about };
    this.#tell(known.id);
  }

  /** Forget all figures: those of another environment are about to come. */
  forgetSnapshots() {
    for (const feature of this.features.values()) feature.snapshot = null;
    this.#tell(null);
  }

  /** Take a feature's figures. @param {Snapshot} snapshot @returns {boolean} whether the feature was known */
  applySnapshot(snapshot) {
    const known = this.features.get(snapshot.featureId);
    if (known === undefined) {
      this.features.set(snapshot.featureId, { id: snapshot.featureId, about: {}, snapshot });
      this.#tell(null);
      return false;
    }
    known.snapshot = snapshot;
    this.#tell(known.id);
    return true;
  }

  /** @returns {string[]} every environment that a feature was seen in */
  environments() {
    const found = new Set();
    for (const { about, snapshot } of this.features.values()) {
      for (const name of about.environments ?? []) found.add(name);
      if (snapshot) found.add(snapshot.environment);
    }
    return [...found].sort();
  }

  /** @param {string|null} id */
  #tell(id) {
    for (const listener of [...this.listeners]) listener(id);
  }
}
