// Fields of forms: a label, a control, help, and what the bridge says is wrong with it.

import { h, setAttribute, setText } from "./kit/dom.js";

let made = 0;

export class Field {
  /**
   * @param {{name: string, label: string, control: HTMLElement, read: () => unknown, help?: string, unit?: string, group?: boolean, wide?: boolean}} options
   *     name: as the bridge names it; group: the control is several, named together
   */
  constructor({ name, label, control, read, help = "", unit = "", group = false, wide = false }) {
    made += 1;
    const id = `entry-${made}`;
    this.name = name;
    this.control = control;
    this.read = read;
    this.help = h("p", { class: "entry-help", id: `${id}-help`, hidden: help === "" }, help);
    this.problem = h("p", { class: "entry-problem", id: `${id}-problem`, hidden: true });
    this.unit = h("span", { class: "entry-unit", id: `${id}-unit`, hidden: unit === "" }, unit);
    if (!group) control.id = id;
    control.setAttribute("aria-describedby", `${id}-unit ${id}-help ${id}-problem`);
    const parts = [h("div", { class: "entry-control" }, control, this.unit), this.help, this.problem];
    this.element = group
      ? h("fieldset", { class: "entry", dataset: { field: name } }, h("legend", {}, label), ...parts)
      : h("div", { class: "entry", dataset: { field: name } }, h("label", { for: id }, label), ...parts);
    this.element.classList.toggle("entry-wide", wide);
  }

  /** @param {string} text "" where nothing is wrong */
  fail(text) {
    setText(this.problem, text);
    this.problem.hidden = text === "";
    setAttribute(this.control, "aria-invalid", text === "" ? null : "true");
  }

  /** @param {string} text */
  setUnit(text) {
    setText(this.unit, text);
    this.unit.hidden = text === "";
  }

  /** @param {string} text */
  setHelp(text) {
    setText(this.help, text);
    this.help.hidden = text === "";
  }

  focus() {
    const inner = this.control.matches("input, select, textarea, button") ? this.control : this.control.querySelector("input, select, textarea, button");
    /** @type {HTMLElement|null} */ (inner)?.focus();
  }
}

/**
 * Show what the bridge found wrong beside the fields that it names; the rest is returned.
 * @param {Field[]} fields @param {import("./kit/api.js").Detail[]} details @param {(name: string) => boolean} [shown] which fields may be told of
 * @returns {{rest: string[], first: Field|undefined}} first: the first field that is wrong, as they stand
 */
export function showProblems(fields, details, shown = () => true) {
  const rest = details.filter(({ field }) => !fields.some(({ name }) => name === field)).map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));
  for (const field of fields) {
    const wrong = details.filter((detail) => detail.field === field.name && shown(field.name));
    field.fail(wrong.map(({ message }) => message.charAt(0).toUpperCase() + message.slice(1)).join(". "));
  }
  return { rest, first: fields.find(({ problem }) => !problem.hidden) };
}

/** @param {Record<string, any>} [props] */
export function textInput(props = {}) {
  return h("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false", ...props });
}

/** @param {[string, string][]} options value and text @param {string} value @param {Record<string, any>} [props] */
export function select(options, value, props = {}) {
  const element = h("select", { class: "input", ...props }, ...options.map(([one, text]) => h("option", { value: one }, text)));
  element.value = value;
  return element;
}

/** Choose one of a few, each in sight. @param {string} name @param {[string, string][]} options @param {string} value @param {string} [label] */
export function radios(name, options, value, label) {
  made += 1;
  const group = `radio-${name}-${made}`;
  const inputs = options.map(([one]) => h("input", { type: "radio", name: group, value: one, checked: one === value }));
  const element = h("div", { class: "radios", role: "radiogroup", "aria-label": label }, ...options.map(([one, text], index) => h("label", { class: "radio", dataset: { value: one } }, inputs[index], h("span", {}, text))));
  return { element, read: () => /** @type {HTMLInputElement|undefined} */ (inputs.find((input) => /** @type {any} */ (input).checked))?.value ?? "" };
}

/** Choose several. @param {[string, Node|string][]} options @param {string[]} chosen */
export function checks(options, chosen) {
  const inputs = options.map(([one]) => h("input", { type: "checkbox", value: one, checked: chosen.includes(one) }));
  const element = h("div", { class: "checks" }, ...options.map(([, text], index) => h("label", { class: "check" }, inputs[index], h("span", {}, text))));
  return { element, read: () => inputs.filter((input) => /** @type {any} */ (input).checked).map((input) => /** @type {any} */ (input).value) };
}

/** @param {string} label @param {boolean} on @param {(on: boolean) => void} [changed] @returns {HTMLElement & Record<string, any>} */
export function toggle(label, on, changed) {
  const button = h("button", { class: "toggle", type: "button", role: "switch", "aria-checked": String(on), "aria-label": label }, h("span", { class: "toggle-knob" }));
  button.addEventListener("click", () => {
    const next = button.getAttribute("aria-checked") !== "true";
    button.setAttribute("aria-checked", String(next));
    changed?.(next);
  });
  return button;
}

/** A number as it was typed: what is none goes as text, so that the bridge says what it expected. @param {string} text */
export function typedNumber(text) {
  const plain = text.trim().replace(",", ".");
  if (plain === "") return null;
  return Number.isFinite(Number(plain)) ? Number(plain) : text.trim();
}
