// While one connection takes over from another, both may bring the same event: it is told once.

const EVENTS = new Set(["status_change", "test_result", "alert_triggered", "alert_updated", "alert_resolved"]);
/** How long (ms) after a change of carriers the same event is taken for a repetition. */
const WHILE = 10_000;
const MOST = 200;

export class Handover {
  constructor() {
    /** @type {Set<string>} */
    this.told = new Set();
    this.until = 0;
  }

  begin() {
    this.until = Date.now() + WHILE;
  }

  /** Tell whether an event was told already by the other carrier. Figures may repeat, lines are known by their ids. @param {import("./client.js").Message} message */
  knows({ type, featureId, data }) {
    if (!EVENTS.has(type)) return false;
    const text = JSON.stringify([type, featureId, data]);
    const known = this.told.delete(text);
    this.told.add(text);
    if (this.told.size > MOST) this.told.delete(/** @type {string} */ (this.told.values().next().value));
    return known && Date.now() < this.until;
  }
}
