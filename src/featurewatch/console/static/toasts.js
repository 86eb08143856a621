// New alerts, told in a corner: politely read aloud, a few at a time, gone when somebody takes them on.

import { severityMark } from "./alerts-marks.js";
import { feedOf } from "./alerts-shared.js";
import { factsOf } from "./alerts-words.js";
import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";
import { formatRoute } from "./route.js";
import { nameOf } from "./store.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */

const SHOWN = 3;
/** Mild alerts go by themselves; grave ones stay until somebody saw them. */
const MILD = 15_000;

export class Toasts {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Map<string, HTMLElement>} the newest last */
    this.toasts = new Map();
    this.list = h("ol", { class: "toast-list", role: "list" });
    this.more = h("a", { class: "toast-more", hidden: true });
    this.all = h("button", { class: "button button-small", type: "button", hidden: true, onclick: () => this.#dismissAll() }, "Dismiss all");
    this.end = h("div", { class: "toast-end", hidden: true }, this.more, this.all);
    // A live region of its own tells each alert once, in one sentence: the buttons are not read with it.
    this.said = h("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    this.element = h("section", { class: "toasts", "aria-label": "New alerts" }, this.list, this.end, this.said);
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.#dismissAll());
    feedOf(context).subscribe((alert, type) => {
      if (alert === null) this.#forgetSettled();
      else if (type === "alert_triggered" && alert.status === "active") this.#add(alert);
      else if (alert.status !== "active") this.#remove(alert.id);
    });
  }

  /** @param {Alert} alert */
  #add(alert) {
    if (this.toasts.has(alert.id)) return;
    const { store, router } = this.context;
    const known = store.features.get(alert.featureId);
    const name = known === undefined ? alert.featureId : nameOf(known);
    const { label, value, limit, message } = factsOf(alert);
    const text = label === "" ? message : `${label} ${value}, threshold ${limit}`;
    const link = h("a", { class: "toast-title", href: formatRoute({ ...router.route, alert: alert.id }) }, alert.title);
    // The address is made at the click: another page may be shown by then.
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.#remove(alert.id);
      router.update({ alert: alert.id }, { push: true });
    });
    const close = h("button", { class: "icon-button", type: "button", "aria-label": `Dismiss ${alert.title}, ${name}`, onclick: () => this.#dismiss(alert.id) }, icon("close"));
    const toast = h("li", { class: "toast", dataset: { severity: alert.severity } }, h("div", { class: "toast-line" }, severityMark(alert.severity), link), h("p", { class: "toast-text" }, `${name} · ${alert.environment}`), h("p", { class: "toast-text" }, text), close);
    if (alert.severity === "low" || alert.severity === "medium") this.#goLater(alert.id, toast);
    this.toasts.set(alert.id, toast);
    this.list.prepend(toast);
    setText(this.said, `New alert, ${alert.severity}: ${alert.title}, ${name}. ${text}`);
    this.#bound();
  }

  /** @param {string} id @param {HTMLElement} toast */
  #goLater(id, toast) {
    // Whoever points at it or works in it reads it: it waits.
    const go = () => {
      if (!toast.isConnected) return;
      if (toast.matches(":hover") || toast.contains(document.activeElement)) setTimeout(go, 2_000);
      else this.#remove(id);
    };
    setTimeout(go, MILD);
  }

  /** Show the newest few; the others are a number. */
  #bound() {
    const all = [...this.toasts.values()].reverse();
    all.forEach((toast, index) => (toast.hidden = index >= SHOWN));
    const hidden = all.length - SHOWN;
    this.more.hidden = hidden <= 0;
    setText(this.more, hidden > 0 ? `${hidden} more` : "");
    this.more.setAttribute("href", this.context.router.link({ page: "alerts" }));
    this.all.hidden = all.length < 2;
    this.end.hidden = this.all.hidden && this.more.hidden;
  }

  /** @param {string} id */
  #dismiss(id) {
    this.#remove(id);
    const next = this.list.querySelector(".toast:not([hidden]) .icon-button") ?? document.querySelector("#page");
    /** @type {HTMLElement|null} */ (next)?.focus({ preventScroll: true });
  }

  #dismissAll() {
    for (const id of [...this.toasts.keys()]) this.#remove(id);
    /** @type {HTMLElement|null} */ (document.querySelector("#page"))?.focus({ preventScroll: true });
  }

  /** @param {string} id */
  #remove(id) {
    this.toasts.get(id)?.remove();
    this.toasts.delete(id);
    this.#bound();
  }

  #forgetSettled() {
    const { open } = feedOf(this.context);
    for (const id of [...this.toasts.keys()]) if (open.get(id)?.status !== "active") this.#remove(id);
  }
}
