// The log drawer: a feature's lines, those that were and those that come.

import { h, oncePerFrame, setText } from "./kit/dom.js";
import { connectionBadge } from "./kit/badge.js";
import { icon } from "./kit/icons.js";
import { LogBuffer } from "./kit/log-buffer.js";
import { LogFilters, NO_FILTERS, canBeLive, logQuery } from "./kit/log-filters.js";
import { logRow } from "./kit/log-row.js";
import { nameOf } from "./store.js";
import { VirtualList } from "./kit/virtual-list.js";

const PAGE = 500;
/** What /logs answers at most. */
const MOST = 5000;
const NUMBER = new Intl.NumberFormat();

export class LogDrawer {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    this.context = context;
    this.featureId = "";
    this.environment = "";
    /** @type {import("./kit/log-filters.js").Filters} */
    this.filters = NO_FILTERS;
    this.buffer = new LogBuffer();
    /** @type {import("./kit/log-buffer.js").Line[]} */
    this.arrived = [];
    this.loading = false;
    this.failure = "";
    this.waiting = 0;
    this.position = "";
    this.patience = 0;
    /** @type {{cursor: string, end: string}|null} where older lines begin, null where there are none */
    this.older = null;
    this.aborter = new AbortController();
    /** @type {HTMLElement|null} */
    this.opener = null;
    this.list = new VirtualList({
      label: "Log lines",
      render: (row, open, index) => logRow(row, { search: this.filters.search, open, toggle: () => this.#toggle(row.id, index), fill: () => void this.#fill(row) }),
      onNearTop: () => void this.#loadOlder(),
      onFollow: (following) => {
        if (following) this.waiting = 0;
        this.#drawStatus();
      },
    });
    this.#build();
    this.flush = oncePerFrame(() => this.#flush());
    context.client.subscribe("log_history", (message) => this.#hear(message, linesOf(message.data)));
    context.client.subscribe("log_entry", (message) => this.#hear(message, [message.data]));
    context.client.subscribe("gap", (message) => this.#hearGap(message));
    context.store.subscribe(() => this.#drawFeatures());
    context.router.subscribe(() => this.#settle());
    this.#settle();
  }

  get isOpen() {
    return this.context.router.route.logs !== "";
  }

  /** Open a feature's log; the one that was last shown comes back as it was. @param {string} featureId @param {Partial<import("./kit/log-filters.js").Filters>} [filters] */
  open(featureId, filters) {
    this.opener = /** @type {HTMLElement|null} */ (document.activeElement);
    const kept = featureId === this.featureId ? this.filters : NO_FILTERS;
    this.context.router.update({ logs: featureId, ...kept, ...filters }, { push: true });
    this.element.querySelector(".log-close")?.focus({ preventScroll: true });
  }

  close() {
    this.context.router.update({ logs: "", ...NO_FILTERS }, { push: true });
    this.opener?.focus?.({ preventScroll: true });
  }

  #build() {
    this.features = h("select", { class: "input log-feature", "aria-label": "Feature", onchange: () => this.context.router.update({ logs: this.features.value, ...NO_FILTERS }) });
    this.filterBar = new LogFilters((part) => this.context.router.update(part));
    this.exports = ["json", "csv"].map((format) => {
      const link = h("a", { class: "button button-small", download: true, dataset: { format } }, icon("download"), format.toUpperCase());
      // A relative range is measured at the moment of the click.
      link.addEventListener("click", () => this.#linkExports());
      return link;
    });
    this.status = h("p", { class: "log-status", role: "status" });
    this.note = h("div", { class: "log-note", hidden: true });
    this.jump = h("button", { class: "log-jump", type: "button", hidden: true, onclick: () => this.list.follow() }, icon("down"), h("span", {}));
    this.element = h(
      "aside",
      { class: "drawer", role: "dialog", "aria-label": "Log", inert: true },
      h(
        "header",
        { class: "log-top" },
        h("h2", {}, "Log"),
        this.features,
        connectionBadge(this.context.client, { quiet: true }),
        h("button", { class: "icon-button log-close", type: "button", "aria-label": "Close the log", title: "Close (Esc)", onclick: () => this.close() }, icon("close")),
      ),
      this.filterBar.element,
      h("div", { class: "log-body" }, this.list.element, this.note, this.jump),
      h("footer", { class: "log-foot" }, this.status, h("div", { class: "log-exports" }, h("span", {}, "Export"), ...this.exports)),
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.close();
    });
  }

  /** Show what the address says. */
  #settle() {
    const { route } = this.context.router;
    const wasOpen = this.element.classList.contains("is-open");
    this.element.classList.toggle("is-open", this.isOpen);
    this.element.toggleAttribute("inert", !this.isOpen);
    document.documentElement.classList.toggle("has-drawer", this.isOpen);
    if (!this.isOpen) {
      if (wasOpen) this.context.client.followLogs(null);
      return;
    }
    const { levels, search, range, from, to, live } = route;
    const filters = { levels, search, range, from, to, live };
    const environment = route.env;
    const same = (/** @type {any} */ value) => JSON.stringify({ ...value, live: true });
    const other = route.logs !== this.featureId || environment !== this.environment || same(filters) !== same(this.filters);
    const toggled = filters.live !== this.filters.live;
    this.featureId = route.logs;
    this.environment = environment;
    this.filters = filters;
    this.filterBar.show(filters);
    this.#drawFeatures();
    this.#linkExports();
    if (other) void this.#load();
    else if (!wasOpen || toggled) this.#followLive();
    this.list.draw();
    this.#drawStatus();
  }

  #query() {
    return { environment: this.environment, ...logQuery(this.filters, Date.now()) };
  }

  #linkExports() {
    for (const link of this.exports) link.setAttribute("href", this.context.api.url("/logs/export", { feature_id: this.featureId, ...this.#query(), format: link.dataset.format }));
  }

  async #load() {
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    this.buffer.clear();
    this.arrived = [];
    this.waiting = 0;
    this.position = "";
    this.older = null;
    this.failure = "";
    this.loading = true;
    this.list.reset(this.buffer.rows);
    this.#drawStatus();
    // Subscribed first, fetched then, joined by id: no line falls between what was and what comes.
    this.#followLive();
    try {
      const { logs, next_cursor: cursor } = await this.context.api.get("/logs", { feature_id: this.featureId, ...this.#query(), limit: PAGE }, aborter.signal);
      this.buffer.prepend(logs);
      this.older = cursor ? { cursor, end: "" } : null;
    } catch (error) {
      if (aborter.signal.aborted) return;
      this.failure = /** @type {Error} */ (error).message;
    }
    if (aborter.signal.aborted) return;
    this.loading = false;
    this.list.update(this.buffer.rows);
    this.#flush();
  }

  #followLive() {
    const { client } = this.context;
    const on = this.filters.live && canBeLive(this.filters);
    if (client.logs !== null) this.position = client.logs.after || this.position;
    // A start in the past excludes nothing that comes live, so only what selects lines is sent.
    const { environment, levels, search } = this.#query();
    const filters = Object.fromEntries(Object.entries({ environment, levels, search }).filter(([, value]) => value !== ""));
    client.followLogs(on ? { featureId: this.featureId, filters, after: this.position } : null);
  }

  async #loadOlder() {
    if (this.loading || this.older === null || Date.now() < this.patience) return;
    const { cursor, end } = this.older;
    const { signal } = this.aborter;
    this.loading = true;
    this.#drawStatus();
    try {
      const query = { feature_id: this.featureId, ...this.#query(), limit: PAGE };
      if (end !== "") query.end_time = end;
      const { logs, next_cursor: next } = await this.context.api.get("/logs", { ...query, cursor }, signal);
      const added = this.buffer.prepend(logs);
      this.older = next ? { cursor: next, end } : null;
      this.loading = false;
      this.list.update(this.buffer.rows, { before: added });
    } catch (error) {
      if (signal.aborted) return;
      this.loading = false;
      // Each new line draws the list again: without a pause a failing bridge would be asked at every frame.
      this.patience = Date.now() + 5_000;
      setText(this.status, `Older lines could not be loaded: ${/** @type {Error} */ (error).message}`);
      return;
    }
    this.#drawStatus();
  }

  /** @param {import("./kit/client.js").Message} message @param {import("./kit/log-buffer.js").Line[]} lines */
  #hear(message, lines) {
    if (message.featureId !== this.featureId || this.context.client.logs === null) return;
    const { levels } = this.filters;
    // A frame that was under way when the filter changed still follows the old one.
    for (const line of lines) if (levels.length === 0 || levels.includes(line.level)) this.arrived.push(line);
    if (message.data?.recovered === false && this.buffer.length > 0) this.#mark("Lines may be missing here: the bridge no longer had them");
    this.flush();
  }

  /** @param {import("./kit/client.js").Message} message */
  #hearGap(message) {
    if (this.context.client.logs === null || (message.featureId && message.featureId !== this.featureId)) return;
    const { count, reason, from, to } = message.data ?? {};
    const why = reason ? ` (${String(reason).replaceAll("_", " ")})` : "";
    this.#mark(`${count ? `${NUMBER.format(count)} lines` : "Lines"} were not delivered${why}`, { from, to });
  }

  /** @param {string} text @param {{from?: string, to?: string}} [span] */
  #mark(text, span) {
    this.#flush();
    this.buffer.gap(text, span);
    this.list.update(this.buffer.rows);
  }

  /** Load the lines that a gap misses, in its place. @param {import("./kit/log-buffer.js").Gap} gap */
  async #fill({ id, from, to }) {
    const { signal } = this.aborter;
    const query = { ...this.#query(), feature_id: this.featureId, start_time: from, end_time: new Date(Date.parse(to ?? "") + 1).toISOString(), direction: "forward", limit: MOST };
    /** @type {import("./kit/log-buffer.js").Line[]} */
    const lines = [];
    try {
      for (let cursor = ""; ; ) {
        const page = await this.context.api.get("/logs", { ...query, cursor }, signal);
        lines.push(...page.logs);
        cursor = page.next_cursor ?? "";
        if (cursor === "" || lines.length >= this.buffer.most) break;
      }
    } catch (error) {
      if (!signal.aborted) setText(this.status, `The lines could not be loaded: ${/** @type {Error} */ (error).message}`);
      return;
    }
    const filled = this.buffer.fill(id, lines);
    if (filled !== null) this.list.update(this.buffer.rows, { before: filled.added, at: filled.at });
    this.#drawStatus();
  }

  #flush() {
    if (this.loading) return;
    const added = this.buffer.append(this.arrived);
    this.arrived = [];
    if (!this.list.following) this.waiting += added;
    // Above the limit the oldest go; while the reader is up there, only when it is far exceeded.
    const trimmed = this.list.following || this.buffer.length > this.buffer.most * 1.2 ? this.buffer.trim() : 0;
    if (trimmed > 0) this.older = { cursor: "", end: justAfter(this.buffer.oldest()) };
    this.list.update(this.buffer.rows, { before: -trimmed });
    this.#drawStatus();
  }

  /** @param {string} id @param {number} drawnAt where the row stood when it was drawn; lines before it may have come since */
  #toggle(id, drawnAt) {
    const found = this.buffer.rows[drawnAt]?.id === id ? drawnAt : this.buffer.rows.findIndex((row) => row.id === id);
    if (found !== -1) this.list.toggle(id, found);
    this.#drawStatus();
  }

  #drawFeatures() {
    if (!this.isOpen) return;
    const known = [...this.context.store.features.values()].map((feature) => [feature.id, nameOf(feature)]);
    if (!known.some(([id]) => id === this.featureId)) known.push([this.featureId, this.featureId]);
    known.sort((one, other) => one[1].localeCompare(other[1]));
    const drawn = JSON.stringify(known);
    if (drawn !== this.drawnFeatures) {
      this.drawnFeatures = drawn;
      this.features.replaceChildren(...known.map(([value, text]) => h("option", { value }, text)));
    }
    this.features.value = this.featureId;
  }

  #drawStatus() {
    const count = this.buffer.length;
    const filtered = this.filters.levels.length > 0 || this.filters.search !== "" || this.filters.range !== "";
    setText(this.status, this.loading ? "Loading…" : `${NUMBER.format(count)} ${count === 1 ? "line" : "lines"}${this.older === null ? "" : ", older ones above"}`);
    this.note.hidden = count > 0;
    this.note.dataset.kind = this.loading ? "loading" : this.failure ? "failed" : "empty";
    this.note.setAttribute("role", this.failure ? "alert" : "status");
    const said = this.loading
      ? "Loading lines…"
      : this.failure || (filtered ? "No line matches these filters." : "No line yet. Lines appear here as the feature logs them.");
    if (count === 0) setText(this.note, said);
    this.jump.hidden = this.list.following || !this.list.overflows;
    setText(/** @type {Node} */ (this.jump.lastChild), this.waiting === 0 ? "Newest" : `${NUMBER.format(this.waiting)} new ${this.waiting === 1 ? "line" : "lines"}`);
    this.jump.classList.toggle("has-new", this.waiting > 0);
  }
}

/**
 * The end of a page that leads up to a line. Lines of the same moment may have gone with the older ones: they are
 * within the page, and those that are held are known by their ids.
 * @param {import("./kit/log-buffer.js").Line|null} line
 */
function justAfter(line) {
  return line === null ? "" : new Date(Date.parse(line.timestamp) + 1).toISOString();
}

/** @param {any} data a list of lines, or an object that holds one @returns {import("./kit/log-buffer.js").Line[]} */
function linesOf(data) {
  return Array.isArray(data) ? data : (data?.logs ?? []);
}
