// Lines on their way to those who follow them: by the shared connection, or by an event stream of their own.

import { LogGroup, same } from "./log-groups.js";
import { queryOf } from "./api.js";

/** Other messages' positions promise lines too, but only so long (ms) after a subscription: until the bridge has taken it in, they promise nothing. */
const SETTLED = 10_000;

/**
 * @typedef {import("./log-groups.js").LogMember} LogMember
 * @typedef {{position: string, change: (filters: import("./log-groups.js").LineFilters) => void, close: () => string}} Following
 *     `position`: where the lines are; given as `after` it resumes there. `close` returns it.
 */

export class LogLines {
  /**
   * @param {object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {(message: Record<string, unknown>) => boolean} parts.send to the connection
   * @param {(hear: (message: any) => void) => import("./event-stream.js").EventStream} parts.stream
   * @param {() => void} parts.changed which features are followed has changed
   */
  constructor({ api, send, stream, changed }) {
    this.api = api;
    this.send = send;
    this.stream = stream;
    this.changed = changed;
    /** @type {Map<string, LogGroup>} */
    this.groups = new Map();
    /** @type {"none"|"socket"|"streams"} what carries lines now */
    this.carrier = "none";
  }

  /** @returns {string[]} the features whose lines are followed */
  get features() {
    return [...new Set([...this.groups.values()].map(({ featureId }) => featureId))];
  }

  /** @param {LogMember} member @param {string} [after] a position to resume from @returns {Following} */
  join(member, after = "") {
    const key = `${member.featureId}\n${member.environment}`;
    const group = this.groups.get(key) ?? new LogGroup(member.featureId, member.environment);
    const fresh = group.members.size === 0;
    this.groups.set(key, group);
    group.members.add(member);
    if (after !== "") group.after = after;
    if (fresh) this.changed();
    if (after !== "" || group.asked === null || !same(group.asked, group.wire)) this.#ask(group);
    let over = false;
    return {
      get position() {
        return group.after;
      },
      change: (filters) => {
        member.filters = filters;
        if (!over && group.asked !== null && !same(group.asked, group.wire)) this.#ask(group);
      },
      close: () => {
        if (!over) this.#leave(key, group, member);
        over = true;
        return group.after;
      },
    };
  }

  /** Let lines come another way from now on; each group goes on where it is. @param {"none"|"socket"|"streams"} carrier */
  use(carrier) {
    this.carrier = carrier;
    for (const group of this.groups.values()) this.#ask(group);
  }

  /** Take a message of the connection. @param {import("./client.js").Message} message */
  hear(message) {
    for (const group of this.groups.values()) if (this.#bySocket(group)) this.#take(group, message);
  }

  /** @param {LogGroup} group @param {import("./client.js").Message} message */
  #take(group, { type, featureId, data, id }) {
    const mine = featureId === group.featureId;
    const line = mine && (type === "log_entry" || type === "log_history");
    if (id && (line || (!group.pending && Date.now() - group.askedAt > SETTLED))) group.after = id;
    if (type === "connected" && group.after === "") for (const member of group.members) member.hear({ opened: true });
    if (type === "gap" && (mine || !featureId)) group.miss(data ?? {});
    if (!line) return;
    const history = type === "log_history";
    group.hand(history ? linesOf(data) : [data], history);
    if (history && id) group.pending = false;
  }

  /** @param {LogGroup} group */
  #ask(group) {
    const wire = group.wire;
    group.stream?.close();
    group.stream = null;
    group.asked = wire;
    group.askedAt = Date.now();
    const { featureId, environment } = group;
    if (this.#bySocket(group)) {
      group.pending = true;
      const filters = Object.fromEntries(Object.entries({ ...wire, environment }).filter(([, value]) => value !== ""));
      this.send({ type: "subscribe_logs", featureId, filters, ...(group.after === "" ? {} : { after: group.after }) });
    } else if (this.carrier !== "none") {
      group.pending = false;
      group.stream = this.stream((message) => this.#take(group, { ...message, featureId: message.featureId ?? featureId }));
      group.stream.open(() => this.api.url(`/features/${encodeURIComponent(featureId)}/logs/stream`) + queryOf({ ...wire, environment, after: group.after }));
    }
  }

  /** The connection carries one environment of a feature: the first that was asked for. @param {LogGroup} group */
  #bySocket(group) {
    if (this.carrier !== "socket") return false;
    for (const other of this.groups.values()) if (other.featureId === group.featureId) return other === group;
    return false;
  }

  /** @param {string} key @param {LogGroup} group @param {LogMember} member */
  #leave(key, group, member) {
    group.members.delete(member);
    if (group.members.size > 0) {
      if (group.asked !== null && !same(group.asked, group.wire)) this.#ask(group);
      return;
    }
    const bySocket = this.#bySocket(group);
    group.stream?.close();
    this.groups.delete(key);
    if (bySocket) {
      const next = [...this.groups.values()].find(({ featureId }) => featureId === group.featureId);
      if (next === undefined) this.send({ type: "unsubscribe_logs", featureId: group.featureId });
      else this.#ask(next);
    }
    this.changed();
  }
}

/** @param {any} data a list of lines, or an object that holds one @returns {import("./log-buffer.js").Line[]} */
function linesOf(data) {
  return Array.isArray(data) ? data : (data?.logs ?? []);
}
