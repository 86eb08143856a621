// A form over a part of what is declared: filled in, checked, saved; conflicts are explained, not overwritten.

import { h, setText } from "./kit/dom.js";

/**
 * @typedef {object} Field
 * @property {string} name       what it is called in the form
 * @property {string} label
 * @property {string} [help]     what is expected, with the unit
 * @property {HTMLElement & Record<string, any>} input   an input, a select or a group with `value`
 * @property {(feature: Record<string, any>) => string} read   the text that stands for what is declared
 */

export class SettingsForm {
  /**
   * @param {import("./main.js").Context} context @param {import("./declaration.js").Declaration} declaration
   * @param {{fields: Field[], changes: (values: Record<string, string>, feature: Record<string, any>) => Record<string, unknown>}} options
   *     changes: the body of PATCH; throws an Error whose message says what is wrong
   */
  constructor(context, declaration, { fields, changes }) {
    this.context = context;
    this.declaration = declaration;
    this.fields = fields;
    this.changes = changes;
    /** @type {Record<string, string>} what the fields showed when they were last filled in */
    this.shown = {};
    this.problem = h("p", { class: "problem", role: "alert" });
    this.done = h("p", { class: "saved", role: "status" });
    this.send = h("button", { class: "button button-main", type: "submit" }, "Save");
    this.undo = h("button", { class: "button", type: "button", onclick: () => this.#fill() }, "Undo");
    this.conflict = h("div", { class: "conflict", role: "alert", hidden: true });
    this.element = h(
      "form",
      { class: "form", novalidate: true },
      ...fields.map((field) => labelled(field)),
      this.conflict,
      h("div", { class: "form-end" }, this.send, this.undo, this.problem, this.done),
    );
    this.element.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#save();
    });
    this.element.addEventListener("input", () => this.#draw());
    this.ends = [declaration.subscribe(() => this.#settle()), context.caller.subscribe(() => this.#draw())];
    this.#settle();
  }

  close() {
    for (const end of this.ends) end();
  }

  get #values() {
    return Object.fromEntries(this.fields.map(({ name, input }) => [name, String(input.value).trim()]));
  }

  get #dirty() {
    return this.fields.some(({ name }) => name in this.shown && this.#values[name] !== this.shown[name]);
  }

  /** Show what is declared now, unless somebody is writing here. */
  #settle() {
    if (this.declaration.feature !== null && !this.#dirty) this.#fill();
    else this.#draw();
  }

  #fill() {
    const { feature } = this.declaration;
    if (feature === null) return;
    for (const { name, input, read } of this.fields) {
      input.value = read(feature);
      this.shown[name] = String(input.value).trim();
    }
    this.conflict.hidden = true;
    setText(this.problem, "");
    this.#draw();
  }

  #draw() {
    const may = this.context.caller.may("edit");
    for (const { input } of this.fields) input.disabled = !may;
    this.send.hidden = !may;
    this.send.disabled = !this.#dirty;
    this.undo.hidden = !may || !this.#dirty;
    if (this.#dirty) setText(this.done, "");
  }

  async #save() {
    const { declaration } = this;
    if (declaration.feature === null || this.send.disabled) return;
    setText(this.problem, "");
    this.conflict.hidden = true;
    const before = declaration.feature;
    this.send.setAttribute("aria-busy", "true");
    try {
      const wanted = this.#values;
      const outcome = await declaration.save(this.changes(wanted, declaration.feature));
      if (outcome === "conflict") this.#explain(before, await declaration.lastEditor());
      else {
        this.#fill();
        setText(this.done, "Saved");
      }
    } catch (error) {
      setText(this.problem, /** @type {Error} */ (error).message);
    }
    this.send.removeAttribute("aria-busy");
  }

  /** Say what somebody else changed, and let the reader choose. @param {Record<string, any>} before @param {string} who */
  #explain(before, who) {
    const now = /** @type {Record<string, any>} */ (this.declaration.feature);
    const differing = this.fields.filter(({ read }) => read(before) !== read(now));
    const told = differing.map(({ label, read }) => h("li", {}, h("b", {}, label), `: was ${read(before) || "not set"}, is now ${read(now) || "not set"}`));
    const over = h("button", { class: "button", type: "button", onclick: () => this.#insist() }, "Save mine over it");
    const theirs = h("button", { class: "button", type: "button", onclick: () => this.#fill() }, "Take theirs");
    this.conflict.replaceChildren(h("p", {}, `${who || "Somebody else"} changed this while you were editing. Yours was not saved.`), h("ul", {}, ...told), h("div", { class: "form-end" }, over, theirs));
    this.conflict.hidden = false;
    over.focus();
  }

  #insist() {
    for (const { name, read } of this.fields) this.shown[name] = read(/** @type {Record<string, any>} */ (this.declaration.feature));
    this.send.disabled = false;
    void this.#save();
  }
}

/** @param {Field} field */
function labelled({ name, label, help, input }) {
  const id = `field-${name}`;
  input.id = id;
  input.name = name;
  if (help) input.setAttribute("aria-describedby", `${id}-help`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, help && h("p", { class: "field-help", id: `${id}-help` }, help));
}

/** Read a number, "" meaning none. @param {string} text @param {string} label @param {{low?: number, high?: number}} [bounds] @returns {number|null} */
export function numberOf(text, label, { low = 0, high = Infinity } = {}) {
  if (text === "") return null;
  const value = Number(text.replace(",", "."));
  if (!Number.isFinite(value) || value < low || value > high) {
    throw new Error(`${label}: expected a number ${high === Infinity ? `of at least ${low}` : `from ${low} to ${high}`}, got “${text}”.`);
  }
  return value;
}
