// <feature-logs>: a feature's log in its place, or as a drawer behind a button.

import { h } from "./dom.js";
import { FeatureElement } from "./element.js";
import { icon } from "./icons.js";
import { LEVELS, NO_FILTERS, SPANS } from "./log-query.js";
import { LogView } from "./log-view.js";
import { DRAWER } from "./styles/drawer.js";
import { LOG_HEAD } from "./styles/log-head.js";
import { LOGS } from "./styles/logs.js";

/**
 * @typedef {import("./log-feed.js").View} View
 * @typedef {Partial<import("./log-query.js").Filters> & {featureId?: string, environment?: string, line?: string}} ViewPart
 */

const PRESETS = ["feature", "source", "levels", "search", "range", "live", "line"];

/** @type {FeatureLogs|null} the one that is open: a page has room for one drawer */
let open = null;

export class FeatureLogs extends FeatureElement {
  static observedAttributes = [...FeatureElement.own, ...PRESETS, "drawer", "open"];
  static styles = LOG_HEAD + LOGS + DRAWER;

  /** @type {LogView|null} */
  #log = null;
  /** @type {View|null} */
  #view = null;
  /** @type {HTMLElement|null} */
  #drawer = null;
  /** @type {HTMLElement|null} where the focus was before */
  #opener = null;
  /** @type {((place: {featureId: string, line: string}) => string)|null} */
  #permalink = null;
  /** @type {{id: string, name: string}[]} other features to choose from */
  #features = [];
  /** What had the focus may go, as buttons do that have done their work: Escape leads out all the same. */
  #escape = (/** @type {KeyboardEvent} */ event) => {
    if (focused() === document.body) this.#leaveBy(event);
  };

  /** What is shown. @returns {View} */
  get view() {
    return this.#view ?? this.#preset();
  }

  set view(view) {
    this.#view = view;
    this.#draw();
  }

  get permalink() {
    return this.#permalink;
  }

  set permalink(permalink) {
    this.#permalink = permalink;
  }

  get features() {
    return this.#features;
  }

  set features(features) {
    this.#features = features;
    this.#log?.offerFeatures(features);
  }

  get isDrawer() {
    return this.hasAttribute("drawer");
  }

  get isOpen() {
    return this.hasAttribute("open");
  }

  /** Slide the drawer in. */
  open() {
    this.setAttribute("open", "");
  }

  /** Slide it out; it keeps its lines, place and filters. */
  close() {
    this.removeAttribute("open");
  }

  focusSearch() {
    this.#log?.focusSearch();
  }

  disconnectedCallback() {
    if (open === this) open = null;
    document.removeEventListener("keydown", this.#escape);
    super.disconnectedCallback();
  }

  /** @param {import("./client.js").LiveClient} client */
  joined(client) {
    if (!client.started) client.start();
    this.#log = null;
    this.until(() => {
      this.#log?.destroy();
      this.#log = null;
    });
    if (this.isDrawer) this.#buildDrawer();
    else this.#drawer = null;
    this.#draw();
  }

  /** @param {string} name */
  changed(name) {
    if (name === "drawer") super.changed(name);
    if (PRESETS.includes(name)) this.#view = name === "live" || name === "line" ? { ...this.view, ...this.#only(name) } : this.#preset();
    if (name === "open") this.#toggle();
    else this.#draw();
  }

  #buildDrawer() {
    const button = h("button", { class: "button", part: "button", type: "button", "aria-haspopup": "dialog", onclick: () => this.open() }, icon("logs"), h("slot", {}, "View logs"));
    button.hidden = this.getAttribute("button") === "none";
    this.#drawer = h("div", { class: "drawer", part: "drawer", role: "dialog", "aria-label": "Log", popover: "manual" });
    this.#drawer.addEventListener("keydown", (event) => this.#leaveBy(event));
    this.fill(button, this.#drawer);
    if (this.isOpen) this.#toggle();
  }

  /** @param {KeyboardEvent} event */
  #leaveBy(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.preventDefault();
    this.close();
  }

  #toggle() {
    if (this.#drawer === null) return;
    const shown = this.#drawer.classList.contains("is-open");
    if (this.isOpen && !shown) {
      if (open !== null && open !== this) open.close();
      open = this;
      this.#opener = focused();
      document.addEventListener("keydown", this.#escape);
      this.#drawer.classList.add("is-open");
      // The top layer is above all that a page stacks.
      this.#drawer.showPopover?.();
      this.#draw();
      /** @type {HTMLElement|null} */ (this.#drawer.querySelector(".log-close"))?.focus({ preventScroll: true });
      this.tell("logsopen", null);
    } else if (!this.isOpen && shown) {
      if (open === this) open = null;
      document.removeEventListener("keydown", this.#escape);
      this.#drawer.classList.remove("is-open");
      this.#drawer.hidePopover?.();
      this.#log?.pause();
      this.#opener?.focus?.({ preventScroll: true });
      this.tell("logsclose", null);
    }
  }

  #draw() {
    const { client } = this;
    if (client === null || this.shadowRoot === null || (this.isDrawer && !this.isOpen)) return;
    if (this.view.featureId === "") {
      this.#log?.destroy();
      this.#log = null;
      (this.#drawer ?? this.shadowRoot).replaceChildren();
      return;
    }
    if (this.#log === null) {
      this.#log = new LogView({
        client,
        change: (part) => this.#change(part),
        permalink: (place) => this.#link(place),
        close: this.isDrawer ? () => this.close() : null,
        most: Number(this.getAttribute("most")) || undefined,
      });
      this.#log.offerFeatures(this.#features);
      if (this.#drawer === null) this.fill(this.#log.element);
      else this.#drawer.replaceChildren(this.#log.element);
    }
    this.#view = this.view;
    this.#log.show(this.#view);
  }

  /** @param {ViewPart} part */
  #change(part) {
    if (!this.tell("viewchange", part, { cancelable: true })) return;
    const { featureId, environment, filters, line } = this.view;
    const { featureId: otherFeature = featureId, environment: otherEnvironment = environment, line: otherLine = line, ...others } = part;
    // Choosing other lines leaves the place in the past.
    const stays = "line" in part || Object.keys(others).length === 0;
    this.view = { featureId: otherFeature, environment: otherEnvironment, filters: { ...filters, ...others }, line: stays ? otherLine : "" };
  }

  /** What the attributes say. @returns {View} */
  #preset() {
    const text = (/** @type {string} */ name) => this.getAttribute(name) ?? "";
    const levels = text("levels").split(",").map((level) => level.trim()).filter((level) => LEVELS.includes(level));
    const range = text("range") in SPANS ? text("range") : "";
    return {
      featureId: this.feature,
      environment: text("environment"),
      filters: { ...NO_FILTERS, levels, source: text("source"), search: text("search"), range, live: text("live") !== "false" },
      line: text("line"),
    };
  }

  /** @param {"live"|"line"} name */
  #only(name) {
    const { filters, line } = this.#preset();
    return name === "line" ? { line } : { filters: { ...this.view.filters, live: filters.live } };
  }

  /** @param {{featureId: string, line: string}} place */
  #link(place) {
    if (this.#permalink !== null) return this.#permalink(place);
    const pattern = this.getAttribute("permalink");
    if (pattern !== null) return new URL(pattern.replaceAll("{feature}", encodeURIComponent(place.featureId)).replaceAll("{line}", encodeURIComponent(place.line)), location.href).href;
    // The bridge's own console shows any line; where the page's own address leads to the bridge, it need not be at /.
    const base = this.client?.api.base ?? "";
    return base === "" ? "" : `${base}/#/?${new URLSearchParams({ logs: place.featureId, line: place.line })}`;
  }
}

/** @returns {HTMLElement|null} what has the focus, in whatever shadow */
function focused() {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return /** @type {HTMLElement|null} */ (found);
}
