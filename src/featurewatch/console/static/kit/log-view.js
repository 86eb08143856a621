// A feature's log on the screen: its controls, its lines, its export. The console's drawer and <feature-logs> show this.

import { connectionBadge } from "./badge.js";
import { debounce, h, setText } from "./dom.js";
import { icon } from "./icons.js";
import { LogExport } from "./log-export.js";
import { LogFeed } from "./log-feed.js";
import { LogFilters } from "./log-filters.js";
import { isFiltered } from "./log-query.js";
import { logRow } from "./log-row.js";
import { VirtualList } from "./virtual-list.js";

const NUMBER = new Intl.NumberFormat();
const SIZE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/**
 * @typedef {import("./log-query.js").Filters} Filters
 * @typedef {import("./log-feed.js").View} View
 *
 * @typedef {object} ViewParts
 * @property {import("./client.js").LiveClient} client
 * @property {(part: Partial<Filters> & {environment?: string, line?: string, featureId?: string}) => void} change
 *     the reader chose otherwise; what is to be shown then is told by `show`
 * @property {(view: {featureId: string, line: string}) => string} permalink "" where there is none
 * @property {(() => void)|null} close null where the log cannot be closed
 * @property {number} [most] lines held
 */

export class LogView {
  /** @param {ViewParts} parts */
  constructor({ client, change, permalink, close, most }) {
    this.client = client;
    this.change = change;
    this.permalink = permalink;
    this.waiting = 0;
    /** @type {View|null} */
    this.view = null;
    /** @type {Set<string>} */
    this.sources = new Set();
    this.offered = "";
    this.feed = new LogFeed({ client, changed: (what) => this.#changed(what), most });
    this.list = new VirtualList({
      label: "Log lines",
      render: (row, open, index) => logRow(row, this.#rowOptions(row, open, index)),
      onNearTop: () => void this.feed.loadOlder(),
      onNearEnd: () => void this.feed.loadNewer(),
      onFollow: (following) => {
        this.feed.atEnd = following;
        if (following) this.waiting = 0;
        this.#drawStatus();
      },
    });
    this.export = new LogExport(client.api);
    this.offerSources = debounce(() => this.filterBar.offerSources(this.sources), 1_000);
    this.features = h("select", { class: "input log-feature", "aria-label": "Feature", onchange: () => this.change({ featureId: this.features.value }) });
    this.name = h("span", { class: "log-name" });
    const { badge, end } = connectionBadge(this.client, { quiet: true });
    this.endBadge = end;
    this.filterBar = new LogFilters((part) => this.change(part));
    this.exports = /** @type {const} */ (["json", "csv"]).map((format) =>
      h("button", { class: "button button-small", part: "export", type: "button", "aria-label": `Export as ${format.toUpperCase()}`, dataset: { format }, onclick: () => void this.#export(format) }, icon("download"), format.toUpperCase()),
    );
    this.progressText = h("span", {});
    this.stop = h("button", { class: "button button-small", type: "button", onclick: () => this.export.stop() }, "Stop");
    this.progress = h("span", { class: "log-progress", role: "status", hidden: true }, this.progressText, this.stop);
    this.status = h("p", { class: "log-status", role: "status" });
    this.note = h("div", { class: "log-note", hidden: true });
    this.jump = h("button", { class: "log-jump", part: "jump", type: "button", hidden: true, onclick: () => this.#toNewest() }, icon("down"), h("span", {}));
    this.place = h("div", { class: "log-place", part: "place", hidden: true }, h("span", {}, "Lines around the marked one, whatever the filters say"), h("button", { class: "button button-small", type: "button", onclick: () => this.change({ line: "" }) }, "Back to the log"));
    this.element = h(
      "div",
      { class: "log", part: "log" },
      h(
        "div",
        { class: "log-top", part: "header" },
        h("h2", {}, "Log"),
        this.features,
        this.name,
        badge,
        close !== null && h("button", { class: "icon-button log-close", part: "close", type: "button", "aria-label": "Close the log", title: "Close (Esc)", onclick: close }, icon("close")),
      ),
      this.filterBar.element,
      this.place,
      h("div", { class: "log-body" }, this.list.element, this.note, this.jump),
      h("div", { class: "log-foot", part: "footer" }, this.status, h("span", { class: "log-zone", title: "The time zone of the times above" }, ZONE), h("div", { class: "log-exports" }, this.progress, h("span", { class: "log-export-word" }, "Export"), ...this.exports)),
    );
  }

  /** Show a view; the same lines stay where they are. @param {View} view */
  show(view) {
    const before = this.view;
    this.view = view;
    if (before?.featureId !== view.featureId) {
      this.sources.clear();
      this.filterBar.offerSources([]);
      void this.#loadEnvironments(view.featureId);
    }
    this.filterBar.show(view.filters, view.environment);
    this.#drawFeatures();
    this.feed.show(view);
    this.list.draw();
    this.#drawStatus();
  }

  /** Let go of the connection; everything stays as it is for the next `show`. */
  pause() {
    this.feed.pause();
  }

  /** Let go of everything. */
  destroy() {
    this.export.stop();
    this.feed.close();
    this.endBadge();
  }

  /** Offer other features. @param {{id: string, name: string}[]} features [] for the shown one alone */
  offerFeatures(features) {
    const text = JSON.stringify(features);
    if (text === this.offered) return;
    this.offered = text;
    this.features.replaceChildren(...features.map(({ id, name }) => h("option", { value: id }, name)));
    this.#drawFeatures();
  }

  focusSearch() {
    this.filterBar.search.focus();
  }

  /** @param {any} row @param {boolean} open @param {number} index @returns {import("./log-row.js").RowOptions} */
  #rowOptions(row, open, index) {
    const { featureId = "", filters, line } = this.view ?? {};
    return {
      search: filters?.search ?? "",
      open,
      here: row.id === line,
      toggle: () => this.#toggle(row.id, index),
      fill: () => void this.feed.fill(row),
      around: () => this.change({ line: row.id }),
      link: () => this.permalink({ featureId, line: row.id }),
    };
  }

  /** @param {import("./log-feed.js").Change} change */
  #changed({ kind, added = 0, before = 0, at = 0, place = "" }) {
    if (kind === "reset") {
      this.waiting = 0;
      this.list.reset(this.feed.rows);
    } else if (kind === "rows") {
      if (!this.list.following) this.waiting += added;
      this.list.update(this.feed.rows, { before, at });
      const found = place === "" ? -1 : this.feed.rows.findIndex(({ id }) => id === place);
      if (found !== -1) this.list.show(found);
      this.#noteSources(added);
    }
    this.#drawStatus();
  }

  /** @param {number} added */
  #noteSources(added) {
    const { rows } = this.feed;
    const count = this.sources.size;
    // Those that came last, or all of a page that was fetched; beyond fifty a list helps nobody.
    for (let index = added > 0 ? rows.length - added : Math.max(0, rows.length - 1_000); index < rows.length && this.sources.size < 50; index += 1) {
      const row = rows[index];
      if (row && "source" in row && row.source) this.sources.add(row.source);
    }
    if (this.sources.size !== count) this.offerSources();
  }

  /** @param {string} id @param {number} drawnAt where the row stood when it was drawn; lines before it may have come since */
  #toggle(id, drawnAt) {
    const { rows } = this.feed;
    const found = rows[drawnAt]?.id === id ? drawnAt : rows.findIndex((row) => row.id === id);
    if (found !== -1) this.list.toggle(id, found);
    this.#drawStatus();
  }

  #toNewest() {
    if (this.view?.line) this.change({ line: "" });
    else this.list.follow();
  }

  /** @param {"json"|"csv"} format */
  async #export(format) {
    if (this.view === null) return;
    const text = this.progressText;
    const tell = (/** @type {import("./log-export.js").Progress} */ { bytes, lines }, done = false) =>
      setText(text, `${done ? "Exported" : "Exporting"} ${counted(Math.max(0, lines))}, ${bytes < 1e6 ? `${SIZE.format(bytes / 1e3)} kB` : `${SIZE.format(bytes / 1e6)} MB`}`);
    for (const button of this.exports) button.disabled = true;
    this.progress.hidden = this.stop.hidden = false;
    setText(text, "Exporting…");
    try {
      const done = await this.export.run({ ...this.feed.query() }, format, tell);
      if (done === null) setText(text, "Export stopped");
      else tell(done, true);
    } catch (error) {
      setText(text, `The export failed: ${/** @type {Error} */ (error).message}`);
    }
    this.stop.hidden = true;
    for (const button of this.exports) button.disabled = false;
  }

  /** @param {string} featureId */
  async #loadEnvironments(featureId) {
    this.filterBar.offerEnvironments([]);
    try {
      const { environments = [] } = await this.client.api.get(`/features/${encodeURIComponent(featureId)}`);
      if (this.view?.featureId === featureId) this.filterBar.offerEnvironments(environments);
    } catch {
      // A feature that is not known yet has none to offer.
    }
  }

  #drawFeatures() {
    const { featureId = "" } = this.view ?? {};
    const many = this.features.options.length > 0;
    if (many && ![...this.features.options].some(({ value }) => value === featureId)) this.features.prepend(h("option", { value: featureId }, featureId));
    this.features.hidden = !many;
    this.name.hidden = many;
    this.features.value = featureId;
    setText(this.name, featureId);
  }

  #drawStatus() {
    const { feed, view } = this;
    if (view === null) return;
    const count = feed.buffer.length;
    const more = feed.older === null ? "" : ", older ones above";
    setText(this.status, feed.loading ? "Loading…" : feed.trouble || `${counted(count)}${more}`);
    this.note.hidden = count > 0;
    this.note.dataset.kind = feed.loading ? "loading" : feed.failure ? "failed" : "empty";
    this.note.setAttribute("role", feed.failure ? "alert" : "status");
    const said = feed.loading
      ? "Loading lines…"
      : feed.failure || (isFiltered(view.filters) ? "No line matches these filters." : "No line yet. Lines appear here as the feature logs them.");
    if (count === 0) setText(this.note, said);
    this.place.hidden = view.line === "";
    this.jump.hidden = view.line === "" && (this.list.following || !this.list.overflows);
    setText(/** @type {Node} */ (this.jump.lastChild), this.waiting === 0 ? "Newest" : counted(this.waiting, "new "));
    this.jump.classList.toggle("has-new", this.waiting > 0);
  }
}

/** @param {number} lines @param {string} [which] */
function counted(lines, which = "") {
  return `${NUMBER.format(lines)} ${which}${lines === 1 ? "line" : "lines"}`;
}
