// Maintenance windows of a feature: times in which nobody is notified of its alerts.

import { ask } from "./alerts-dialog.js";
import { Field, select, textInput } from "./alerts-form.js";
import { timeMark } from "./alerts-marks.js";
import { lasted } from "./alerts-words.js";
import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

/** @typedef {{id: string, environment?: string, start_time: string, end_time: string, comment: string, created_by: string, active: boolean}} Window */

/** @type {[string, string][]} */
const LENGTHS = [["30", "30 minutes"], ["60", "1 hour"], ["120", "2 hours"], ["240", "4 hours"], ["480", "8 hours"], ["1440", "24 hours"], ["custom", "Until …"]];

export class MaintenanceSection {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.drawn = "";
    this.path = `/features/${encodeURIComponent(id)}/maintenance`;
    this.make = h("button", { class: "button", type: "button", hidden: true, onclick: () => this.#begin() }, "New window");
    this.list = h("ul", { class: "window-list", role: "list", "aria-label": "Maintenance windows" });
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.element = h("div", { class: "windows" }, this.note, this.list, h("div", { class: "rules-end" }, this.make));
    this.end = context.caller.subscribe(() => this.#draw());
    this.timer = setInterval(() => !document.hidden && void this.load(), 15_000);
    void this.load();
  }

  close() {
    clearInterval(this.timer);
    this.end();
  }

  async load() {
    try {
      const { maintenance } = await this.context.api.get(this.path);
      /** @type {Window[]} */
      this.windows = maintenance;
      this.#draw();
    } catch (error) {
      if (this.windows === undefined) setText(this.note, /** @type {Error} */ (error).message);
    }
  }

  #draw() {
    const may = this.context.caller.may("act");
    this.make.hidden = !may;
    if (this.windows === undefined) return;
    this.note.hidden = this.windows.length > 0;
    setText(this.note, "No maintenance window is on or to come: people are notified as the rules say.");
    const text = JSON.stringify([this.windows, may]);
    if (text === this.drawn) return;
    this.drawn = text;
    this.list.replaceChildren(...this.windows.map((window) => this.#item(window, may)));
  }

  /** @param {Window} window @param {boolean} may */
  #item(window, may) {
    const left = Date.parse(window.end_time) - Date.now();
    const end = h("button", { class: "button button-small", type: "button", hidden: !may, "aria-label": `${window.active ? "End" : "Call off"} the maintenance window of ${window.created_by}`, onclick: () => this.#end(window) }, window.active ? "End now" : "Call off");
    return h(
      "li",
      { class: "window", dataset: { active: String(window.active) } },
      icon(window.active ? "warning" : "bell"),
      h(
        "div",
        {},
        h("p", {}, h("b", {}, window.active ? "On" : "To come"), " ", timeMark(window.start_time), " to ", timeMark(window.end_time), window.active ? ` · ${lasted(left)} left` : ` · ${lasted(Date.parse(window.end_time) - Date.parse(window.start_time))}`, " ", h("span", { class: "chip" }, window.environment ?? "all environments")),
        h("p", { class: "quiet" }, `${window.created_by}${window.comment ? `: ${window.comment}` : ""}`),
      ),
      end,
    );
  }

  #begin() {
    const about = this.context.store.features.get(this.id)?.about ?? {};
    const start = textInput({ type: "datetime-local" });
    const length = select(LENGTHS, "60");
    const until = textInput({ type: "datetime-local" });
    const place = select([["", "All environments"], ...(about.environments ?? []).map((/** @type {string} */ one) => [one, one])], "");
    const comment = textInput({ maxlength: "1000", placeholder: "Moving the index" });
    const startField = new Field({ name: "start_time", label: "Begins", control: start, read: () => instant(start.value), help: "Empty: now." });
    const lengthField = new Field({ name: "duration_minutes", label: "Lasts", control: length, read: () => (length.value === "custom" ? null : Number(length.value)) });
    const untilField = new Field({ name: "end_time", label: "Ends", control: until, read: () => (length.value === "custom" ? instant(until.value) : null) });
    const placeField = new Field({ name: "environment", label: "In", control: place, read: () => place.value || null });
    const commentField = new Field({ name: "comment", label: "Why", control: comment, read: () => comment.value.trim() || null, wide: true });
    untilField.element.hidden = true;
    length.addEventListener("change", () => (untilField.element.hidden = length.value !== "custom"));
    const fields = [commentField, lengthField, untilField, startField, placeField];
    ask({
      title: "New maintenance window",
      text: [h("p", {}, "Nobody is notified of the feature's alerts in it. They are kept all the same.")],
      fields,
      confirm: "Set the window",
      back: () => this.make,
      send: async () => {
        await this.context.api.post(this.path, Object.fromEntries(fields.map(({ name, read }) => [name, read()])));
        await this.load();
      },
    });
  }

  /** @param {Window} window */
  #end(window) {
    ask({
      title: window.active ? "End the maintenance window?" : "Call the maintenance window off?",
      text: [h("p", {}, "People are notified again as the rules say.")],
      confirm: window.active ? "End it now" : "Call it off",
      back: () => this.make,
      send: async () => {
        await this.context.api.delete(`${this.path}/${encodeURIComponent(window.id)}`);
        await this.load();
      },
    });
  }
}

/** @param {string} value of a datetime-local input */
function instant(value) {
  const date = new Date(value);
  return value === "" || Number.isNaN(date.getTime()) ? null : date.toISOString();
}
