// Boxes and sheets over the page: modal, closed by Escape, the focus goes back to where it was.

import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

let opened = 0;

export class Dialog {
  /**
   * @param {{title: string, kind?: "box"|"sheet"|"wide", dirty?: () => boolean, closed?: () => void, back?: () => HTMLElement|null}} options
   *     dirty: whether closing would lose something, which is asked once; back: where the focus goes where its place is gone
   */
  constructor({ title, kind = "box", dirty = () => false, closed = () => {}, back = () => null }) {
    opened += 1;
    const id = `dialog-${opened}`;
    this.opener = /** @type {HTMLElement|null} */ (document.activeElement);
    this.dirty = dirty;
    this.warned = false;
    this.title = h("h2", { id, tabindex: "-1" }, title);
    this.body = h("div", { class: "sheet-body" });
    this.note = h("p", { class: "sheet-note", role: "alert", hidden: true });
    this.foot = h("footer", { class: "sheet-foot", hidden: true });
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: () => this.close() }, icon("close"));
    this.element = h("dialog", { class: `sheet sheet-${kind}`, "aria-labelledby": id }, h("header", { class: "sheet-head" }, this.title, close), this.body, this.note, this.foot);
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    // A press that begins and ends beside the box closes it; one that slips off a text selection does not.
    let outside = false;
    this.element.addEventListener("pointerdown", (event) => (outside = event.target === this.element));
    this.element.addEventListener("click", (event) => outside && event.target === this.element && this.close());
    this.gone = false;
    this.#leave = () => {
      if (this.gone) return;
      this.gone = true;
      this.element.remove();
      closed();
      const place = this.opener?.isConnected && this.opener !== document.body && !this.opener.hidden ? this.opener : back();
      place?.focus({ preventScroll: true });
    };
    // Chromium closes a dialog itself where Escape is pressed again and again.
    this.element.addEventListener("close", this.#leave);
  }

  /** @type {() => void} */
  #leave;

  /** @param {HTMLElement} [first] what gets the focus, by default the title */
  open(first) {
    document.body.append(this.element);
    this.element.showModal();
    (first ?? this.title).focus({ preventScroll: true });
    return this;
  }

  /** @param {...(Node|string)} actions */
  setFoot(...actions) {
    this.foot.replaceChildren(...actions);
    this.foot.hidden = actions.length === 0;
  }

  /** @param {string} text "" for none */
  say(text) {
    setText(this.note, text);
    this.note.hidden = text === "";
  }

  /** Close it; what would be lost is told first. @param {{sure?: boolean}} [how] */
  close({ sure = false } = {}) {
    if (!sure && !this.warned && this.dirty()) {
      this.warned = true;
      this.say("What you changed is not saved. Close again to leave it.");
      return;
    }
    this.element.close();
    this.#leave();
  }
}

/**
 * Ask before something is done: a box with words, fields and two buttons. It stays open where it failed, and says why.
 * @param {{title: string, text?: (Node|string|false)[], fields?: import("./alerts-form.js").Field[], confirm: string, danger?: boolean,
 *     send: () => Promise<string|void>, back?: () => HTMLElement|null}} options send: does it; a text that it returns is a failure
 */
export function ask({ title, text = [], fields = [], confirm, danger = false, send, back }) {
  const dialog = new Dialog({ title, back });
  const yes = h("button", { class: `button button-main ${danger ? "button-danger" : ""}`, type: "submit" }, confirm);
  const no = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel");
  const form = h("form", { class: "sheet-form", method: "dialog" }, ...text.filter((part) => part !== false), ...fields.map(({ element }) => element));
  form.id = `${dialog.title.id}-form`;
  yes.setAttribute("form", form.id);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (yes.getAttribute("aria-busy") === "true") return;
    yes.setAttribute("aria-busy", "true");
    dialog.say("");
    try {
      const failed = await send();
      if (failed) dialog.say(failed);
      else dialog.close({ sure: true });
    } catch (error) {
      const { message, details = [] } = /** @type {import("./kit/api.js").ApiError} */ (error);
      const named = details.find(({ field }) => fields.some(({ name }) => name === field));
      for (const field of fields) field.fail(field.name === named?.field ? named.message : "");
      dialog.say(named ? "" : message);
      fields.find(({ name }) => name === named?.field)?.focus();
    }
    yes.removeAttribute("aria-busy");
  });
  dialog.body.append(form);
  dialog.setFoot(no, yes);
  dialog.open(fields.length > 0 ? /** @type {HTMLElement} */ (fields[0].control) : danger ? no : yes);
  return dialog;
}
