// Signing in and out: a token goes in once, a cookie that scripts cannot read stays.

import { h, setText } from "./kit/dom.js";

export class SignIn {
  /** @param {{api: import("./kit/api.js").Api, caller: import("./caller.js").Caller, signedIn: () => void}} parts */
  constructor({ api, caller, signedIn }) {
    this.api = api;
    this.caller = caller;
    this.signedIn = signedIn;
    this.title = "";
    this.token = h("input", { class: "input", type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "token-help" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.why = h("p", { class: "sign-in-why" });
    this.send = h("button", { class: "button button-main", type: "submit" }, "Sign in");
    this.show = h("button", { class: "button button-quiet", type: "button", "aria-pressed": "false", onclick: () => this.#reveal() }, "Show");
    this.form = h(
      "form",
      { class: "sign-in panel", method: "dialog" },
      h("h1", { id: "sign-in-title" }, "Sign in to featurewatch"),
      this.why,
      h("label", { for: "token" }, "Token"),
      h("div", { class: "sign-in-token" }, this.token, this.show),
      h("p", { class: "field-help", id: "token-help" }, "A token of this bridge (fw_…), or a JWT of your own sign-in."),
      this.problem,
      this.send,
      h("p", { class: "sign-in-help" }, "None yet? Whoever runs the bridge makes one:"),
      h("pre", { class: "sign-in-code", tabindex: "0" }, h("code", {}, "featurewatch token create --role viewer")),
    );
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#submit();
    });
    // A dialog over the whole page: what was open beneath it is there again afterwards.
    // Nothing can be seen without signing in: Escape would leave an empty page. A browser that does not know `closedby` asks before it closes.
    this.page = h("dialog", { class: "sign-in-page", "aria-labelledby": "sign-in-title", closedby: "none" }, this.form);
    this.page.addEventListener("cancel", (/** @type {Event} */ event) => event.preventDefault());
    this.who = h("span", { class: "who" });
    this.out = h("button", { class: "button button-quiet", type: "button", onclick: () => void this.#signOut() }, "Sign out");
    /** Who is signed in, and the way out; stands in the header. */
    this.badge = h("span", { class: "session", hidden: true }, this.who, this.out);
    caller.subscribe(() => this.#introduce());
  }

  /** Ask for a token, once. */
  ask() {
    if (this.page.open) return;
    setText(this.problem, "");
    setText(this.why, this.caller.me === null ? "This bridge shows its features to people with a token." : "Your session has ended. Sign in again to go on where you were.");
    this.title = document.title;
    document.title = "Sign in · featurewatch";
    document.body.append(this.page);
    this.page.showModal();
    this.token.focus();
  }

  #introduce() {
    const { me } = this.caller;
    this.badge.hidden = me?.authentication !== true;
    setText(this.who, me === null ? "" : `${me.name} · ${me.role}`);
    this.who.title = me === null ? "" : `Signed in as ${me.name}; the role ${me.role} may ${me.actions?.join(", ") ?? "look"}`;
  }

  #reveal() {
    const hidden = this.token.type === "password";
    this.token.type = hidden ? "text" : "password";
    this.show.setAttribute("aria-pressed", String(hidden));
    setText(this.show, hidden ? "Hide" : "Show");
  }

  async #submit() {
    setText(this.problem, "");
    this.send.setAttribute("aria-busy", "true");
    try {
      await this.api.post("/session", { token: this.token.value.trim() });
      const me = await this.api.get("/me");
      if (me?.actions && !me.actions.includes("read")) {
        await this.api.delete("/session");
        throw new Error(`This token has the role ${me.role}: it may send, not look. Sign in with a viewer's token.`);
      }
      this.token.value = "";
      this.page.close();
      this.page.remove();
      document.title = this.title;
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
