// Signing in and out: a token goes in once, a cookie that scripts cannot read stays.

import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

export class Session {
  /** @param {import("./kit/api.js").Api} api @param {() => void} signedIn */
  constructor(api, signedIn) {
    this.api = api;
    this.signedIn = signedIn;
    this.token = h("input", { class: "input", type: "password", id: "token", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.send = h("button", { class: "button button-main", type: "submit" }, "Sign in");
    this.form = h(
      "form",
      { class: "sign-in", method: "dialog" },
      h("h2", { id: "sign-in-title" }, icon("lock"), "Sign in"),
      h("p", {}, "This bridge asks for a token. Make one with ", h("code", {}, "featurewatch token create"), "."),
      h("label", { for: "token" }, "Token"),
      this.token,
      this.problem,
      this.send,
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.dialog = h("dialog", { class: "dialog", "aria-labelledby": "sign-in-title" }, this.form);
    // Nothing can be seen without signing in: Escape would leave an empty page.
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.who = h("span", { class: "who", hidden: true });
    this.out = h("button", { class: "button button-quiet", type: "button", hidden: true, onclick: () => void this.#signOut() }, "Sign out");
  }

  /** Ask for a token, once. */
  ask() {
    if (this.dialog.open) return;
    setText(this.problem, "");
    this.dialog.showModal();
    this.token.focus();
  }

  /** Show who is signed in. */
  async introduce() {
    try {
      const me = await this.api.get("/me");
      const known = me?.authentication === true;
      setText(this.who, known ? `${me.name} · ${me.role}` : "");
      this.who.hidden = this.out.hidden = !known;
    } catch {
      this.who.hidden = this.out.hidden = true;
    }
  }

  async #submit() {
    this.send.setAttribute("aria-busy", "true");
    try {
      await this.api.post("/session", { token: this.token.value.trim() });
      this.token.value = "";
      this.dialog.close();
      this.signedIn();
    } catch (error) {
      setText(this.problem, /** @type {Error} */ (error).message);
      this.token.select();
    }
    this.send.removeAttribute("aria-busy");
  }

  async #signOut() {
    try {
      await this.api.delete("/session");
    } finally {
      location.reload();
    }
  }
}
