// What fired and ended: filtered by state, severity and time, page by page.

import { AlertCard } from "./alerts-card.js";
import { feedOf } from "./alerts-shared.js";
import { SEVERITIES, SEVERITY, legible } from "./alerts-words.js";
import { select, textInput } from "./alerts-form.js";
import { debounce, h, setText } from "./kit/dom.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */

const PAGE = 25;
/** @type {[string, string][]} */
const STATUSES = [["", "Any state"], ["open", "Open"], ["active", "Active"], ["acknowledged", "Acknowledged"], ["resolved", "Resolved"]];
/** @type {[string, string][]} */
const TIMES = [["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["", "All that is kept"], ["custom", "From … to …"]];

export class AlertsHistory {
  /** @param {import("./main.js").Context} context @param {{feature?: string, link: (alert: Alert) => string}} options feature: "" for all */
  constructor(context, { feature = "", link }) {
    this.context = context;
    this.feature = feature;
    this.link = link;
    this.aborter = new AbortController();
    /** @type {Map<string, AlertCard>} */
    this.cards = new Map();
    this.cursor = "";
    this.failed = false;
    const again = () => void this.load();
    this.status = select(STATUSES, "resolved", { "aria-label": "State", onchange: again });
    this.severity = select([["", "Any severity"], ...SEVERITIES.map((one) => /** @type {[string, string]} */ ([one, SEVERITY[one].label]))], "", { "aria-label": "Severity", onchange: again });
    this.time = select(TIMES, "7d", { "aria-label": "Time", onchange: again });
    const typed = debounce(again, 400);
    this.from = textInput({ type: "datetime-local", "aria-label": "From", oninput: typed });
    this.to = textInput({ type: "datetime-local", "aria-label": "To", oninput: typed });
    this.custom = h("div", { class: "history-custom", hidden: true }, this.from, h("span", { "aria-hidden": "true" }, "to"), this.to);
    this.list = h("ul", { class: "alert-list", role: "list", "aria-label": "Past alerts" });
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.more = h("button", { class: "button", type: "button", hidden: true, onclick: () => void this.#older() }, "Show older");
    this.element = h(
      "section",
      { class: "panel section section-alert-history", "aria-label": "Alert history" },
      h("header", { class: "section-head" }, h("h2", {}, "History"), h("div", { class: "history-filters" }, this.status, this.severity, this.time)),
      this.custom,
      this.list,
      this.note,
      h("div", { class: "history-more" }, this.more),
    );
    const soon = debounce(() => this.cards.size <= PAGE && void this.load(), 500);
    this.ends = [
      feedOf(context).subscribe((alert, type) => {
        if (alert === null && this.failed) void this.load();
        if (alert === null || (feature !== "" && alert.featureId !== feature)) return;
        const card = this.cards.get(alert.id);
        // A page that the reader went on from is not pulled away: what is in sight changes in its place.
        if (card !== undefined) card.update(alert);
        else if (type !== "alert_updated") soon();
      }),
      context.router.subscribe((route, before) => route.env !== before.env && void this.load()),
    ];
    void this.load();
  }

  close() {
    this.aborter.abort();
    for (const end of this.ends) end();
  }

  refresh() {
    void this.load();
  }

  /** Read the first page. */
  async load() {
    this.custom.hidden = this.time.value !== "custom";
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    const answer = await this.#ask("", aborter.signal);
    if (answer === null) return;
    this.cards.clear();
    this.list.replaceChildren();
    this.#add(answer);
  }

  async #older() {
    const before = this.list.lastElementChild;
    this.more.setAttribute("aria-busy", "true");
    const answer = await this.#ask(this.cursor, this.aborter.signal);
    this.more.removeAttribute("aria-busy");
    if (answer === null) return;
    this.#add(answer);
    // Whoever reads by keyboard goes on with the first that is new.
    /** @type {HTMLElement|null} */ (before?.nextElementSibling ?? null)?.focus({ preventScroll: true });
  }

  /** @param {string} cursor @param {AbortSignal} signal */
  async #ask(cursor, signal) {
    const custom = this.time.value === "custom";
    const path = this.feature === "" ? "/alerts" : `/features/${encodeURIComponent(this.feature)}/alerts`;
    try {
      return await this.context.api.get(
        path,
        {
          status: this.status.value,
          severity: this.severity.value,
          environment: this.context.router.route.env,
          time_range: custom ? "" : this.time.value,
          start_time: custom ? instant(this.from.value) : "",
          end_time: custom ? instant(this.to.value) : "",
          limit: PAGE,
          cursor,
        },
        signal,
      );
    } catch (error) {
      if (signal.aborted) return null;
      this.failed = true;
      setText(this.note, /** @type {Error} */ (error).message);
      this.note.hidden = false;
      return null;
    }
  }

  /** @param {{alerts: Alert[], next_cursor: string|null}} answer */
  #add({ alerts, next_cursor: next }) {
    this.failed = false;
    for (const alert of alerts.map(legible)) {
      const card = new AlertCard(this.context, alert, { link: this.link, feature: this.feature === "", may: () => this.context.caller.may("act"), back: () => this.cards.get(alert.id)?.element ?? null });
      this.cards.set(alert.id, card);
      this.list.append(card.element);
    }
    this.cursor = next ?? "";
    this.more.hidden = this.cursor === "";
    this.note.hidden = this.cards.size > 0;
    setText(this.note, this.status.value === "resolved" && this.severity.value === "" ? "No alert ended in this time." : "No alert matches these filters. Choose a longer time, or any state and severity.");
  }
}

/** @param {string} value of a datetime-local input */
function instant(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
