// The open alerts of a feature, or of all: active and acknowledged apart, picked by one or many.

import { act, askAcknowledge, askComment, askResolve } from "./alerts-act.js";
import { AlertCard } from "./alerts-card.js";
import { feedOf } from "./alerts-shared.js";
import { h, oncePerFrame, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */

const GROUPS = /** @type {const} */ ([["active", "Active"], ["acknowledged", "Acknowledged"]]);

const TURNS = 5;

export class AlertsPanel {
  /**
   * @param {import("./main.js").Context} context
   * @param {{feature?: string, link: (alert: Alert) => string, aside?: Node[]}} options feature: "" for all
   */
  constructor(context, { feature = "", link, aside = [] }) {
    this.context = context;
    this.feature = feature;
    this.link = link;
    const feed = feedOf(context);
    this.feed = feed;
    /** @type {Map<string, AlertCard>} */
    this.cards = new Map();
    /** @type {Set<string>} */
    this.picked = new Set();
    this.title = h("h2", { tabindex: "-1" }, feature === "" ? "Open alerts" : "Alerts");
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.clear = h("div", { class: "all-clear", hidden: true }, icon("healthy"), h("p", {}, h("b", {}, "All clear"), h("span", {}, feature === "" ? "No rule of any feature fires." : "No rule of this feature fires.")));
    this.groups = GROUPS.map(([status, name]) => {
      const number = h("span", { class: "group-number" });
      const list = h("ul", { class: "alert-list", role: "list", "aria-label": `${name} alerts` });
      const element = h("section", { class: "alert-group", hidden: true, dataset: { status } }, h("h3", {}, name, number), list);
      return { status, number, list, element };
    });
    this.count = h("span", { class: "bulk-count", role: "status" });
    this.bulk = h("div", { class: "bulk", hidden: true, role: "group", "aria-label": "With the alerts that are selected" }, this.count, ...this.#bulkButtons());
    this.said = h("p", { class: "visually-hidden", role: "status" });
    this.element = h(
      "section",
      { class: "panel section section-alerts", "aria-label": feature === "" ? "Open alerts" : "Alerts" },
      h("header", { class: "section-head" }, this.title, h("div", { class: "section-aside" }, ...aside)),
      this.bulk,
      this.note,
      this.clear,
      ...this.groups.map(({ element }) => element),
      this.said,
    );
    this.draw = oncePerFrame(() => this.#draw());
    this.ends = [
      feed.subscribe((alert, type) => {
        if (alert !== null && feature !== "" && alert.featureId !== feature) return;
        if (alert !== null && type === "alert_resolved") setText(this.said, `${alert.title} resolved`);
        this.draw();
      }),
      context.caller.subscribe(this.draw),
      context.router.subscribe(this.draw),
    ];
    this.turn = 0;
    this.timer = setInterval(() => !document.hidden && this.#tick(), 1_000);
    this.#draw();
  }

  close() {
    clearInterval(this.timer);
    for (const end of this.ends) end();
  }

  /** Read again what a break may have hidden. */
  refresh() {
    void this.feed.load();
  }

  /** As other sections are told which environment is shown; the address names one only where it was chosen. */
  show() {
    this.draw();
  }

  changed() {
    this.refresh();
  }

  #bulkButtons() {
    const button = (/** @type {string} */ text, /** @type {() => unknown} */ run) => h("button", { class: "button button-small", type: "button", onclick: run }, text);
    const back = () => this.title;
    const chosen = (/** @type {string} */ status = "") => this.feed.list().filter((alert) => this.picked.has(alert.id) && (status === "" || alert.status === status));
    this.takeOn = button("Acknowledge", () => askAcknowledge(this.context, chosen("active"), back));
    this.giveBack = button("Un-acknowledge", async () => {
      const failed = await act(this.context, chosen("acknowledged"), "unacknowledge").catch((error) => error.message);
      setText(this.said, failed || "Given back");
      if (failed) setText(this.count, failed);
    });
    return [
      this.takeOn,
      this.giveBack,
      button("Resolve", () => askResolve(this.context, chosen(), back)),
      button("Comment", () => askComment(this.context, chosen(), back)),
      h("button", { class: "button button-small button-quiet", type: "button", onclick: () => this.#clearPicked() }, "Select none"),
    ];
  }

  #clearPicked() {
    this.picked.clear();
    for (const card of this.cards.values()) card.picked.checked = false;
    this.#drawBulk([]);
    this.title.focus({ preventScroll: true });
  }

  /** Count on: those that count in seconds at each one, a fifth of the others; hundreds at a time would be felt. */
  #tick() {
    this.turn = (this.turn + 1) % TURNS;
    let index = 0;
    for (const card of this.cards.values()) {
      if (card.counts() || index % TURNS === this.turn) card.tick();
      index += 1;
    }
  }

  #draw() {
    const { feed } = this;
    const shown = feed.list({ feature: this.feature, environment: this.context.router.route.env });
    this.note.hidden = feed.loaded && feed.failure === "";
    setText(this.note, feed.failure !== "" ? `${feed.failure} ${feed.loaded ? "This is what was last known." : "It is tried again by itself."}` : "Loading…");
    this.clear.hidden = !feed.loaded || shown.length > 0;
    const known = new Set(shown.map(({ id }) => id));
    const held = [...this.cards.values()].find(({ element }) => element.contains(document.activeElement));
    for (const [id, card] of this.cards) {
      if (known.has(id)) continue;
      card.element.remove();
      this.cards.delete(id);
      this.picked.delete(id);
    }
    for (const { status, number, list, element } of this.groups) {
      const alerts = shown.filter((alert) => alert.status === status);
      element.hidden = alerts.length === 0;
      setText(number, String(alerts.length));
      alerts.forEach((alert, index) => {
        const card = this.#card(alert);
        if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
      });
    }
    // Whoever was at an alert stays at it, wherever it went; where it is gone, at the top.
    if (held !== undefined && !held.element.contains(document.activeElement)) (held.element.isConnected ? held.element : this.title).focus({ preventScroll: true });
    this.#drawBulk(shown.filter(({ id }) => this.picked.has(id)));
  }

  /** @param {Alert} alert */
  #card(alert) {
    let card = this.cards.get(alert.id);
    if (card === undefined) {
      card = new AlertCard(this.context, alert, {
        link: this.link,
        feature: this.feature === "",
        may: () => this.context.caller.may("act"),
        back: () => (this.cards.has(alert.id) ? (this.cards.get(alert.id)?.element ?? null) : this.title),
        pick: (picked) => {
          if (picked) this.picked.add(alert.id);
          else this.picked.delete(alert.id);
          this.draw();
        },
      });
      this.cards.set(alert.id, card);
    } else card.update(alert);
    card.pick.hidden = !this.context.caller.may("act");
    return card;
  }

  /** @param {Alert[]} picked */
  #drawBulk(picked) {
    this.bulk.hidden = picked.length === 0;
    setText(this.count, picked.length === 0 ? "" : `${picked.length} selected`);
    if (this.takeOn) this.takeOn.hidden = !picked.some(({ status }) => status === "active");
    if (this.giveBack) this.giveBack.hidden = !picked.some(({ status }) => status === "acknowledged");
  }
}
