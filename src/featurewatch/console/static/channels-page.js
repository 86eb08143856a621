// Where people are told: the channels, who uses them, and whether they work.

import { mayEditChannels } from "./alerts-shared.js";
import { SEVERITY, sentence } from "./alerts-words.js";
import { askDeleteChannel, editChannel } from "./channels-editor.js";
import { KEPT, KINDS } from "./channels-kinds.js";
import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";
import { nameOf } from "./store.js";

/** @typedef {import("./channels-editor.js").Channel} Channel */
/** @typedef {{id: string, name: string, kind: string, featureId: string, notification_channels: string[]}} User */

export class ChannelsPage {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Channel[]} */
    this.channels = [];
    /** @type {User[]} */
    this.rules = [];
    /** @type {Map<string, {delivered: boolean, detail: string}>} what the last test said */
    this.tested = new Map();
    this.drawn = "";
    this.loaded = false;
    this.title = h("h1", { class: "page-title", tabindex: "-1" }, "Channels");
    this.make = h("button", { class: "button button-main", type: "button", hidden: true, onclick: () => this.#edit() }, "New channel");
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.empty = h("div", { class: "channels-empty", hidden: true });
    this.problem = h("p", { class: "callout", role: "alert", hidden: true, dataset: { tone: "warning" } });
    this.list = h("ul", { class: "channel-list", role: "list", "aria-label": "Channels" });
    this.panel = h("section", { class: "panel section", "aria-label": "Channels" }, this.note, this.empty, this.list);
    this.element = h(
      "div",
      { class: "page channels-page" },
      h("header", { class: "page-head" }, this.title, this.make),
      h("p", { class: "page-about" }, "Where people are told of alerts. A rule names channels; each is told when one of its alerts fires, again while it stays, and when it ends."),
      this.problem,
      this.panel,
    );
    this.ends = [context.caller.subscribe(() => this.#draw()), context.store.subscribe((id) => id === null && this.#draw())];
    this.timer = setInterval(() => !document.hidden && void this.load(), 15_000);
    void this.load();
  }

  close() {
    clearInterval(this.timer);
    for (const end of this.ends) end();
  }

  refresh() {
    void this.load();
  }

  async load() {
    try {
      const [{ channels, problem = "" }, { rules }] = await Promise.all([this.context.api.get("/channels"), this.context.api.get("/alerts/rules")]);
      this.channels = channels;
      this.rules = rules;
      this.loaded = true;
      setText(this.problem, problem === "" ? "" : `Alertmanager's configuration is not as it should be: ${problem}`);
      this.problem.hidden = problem === "";
      this.#draw();
    } catch (error) {
      if (!this.loaded) setText(this.note, /** @type {Error} */ (error).message);
    }
  }

  #draw() {
    const may = mayEditChannels(this.context.caller);
    this.make.hidden = !may;
    if (!this.loaded) return;
    const text = JSON.stringify([this.channels, this.rules.map(({ id, name, featureId, notification_channels: told }) => [id, name, featureId, told]), may, [...this.tested]]);
    if (text === this.drawn) return;
    this.drawn = text;
    this.note.hidden = true;
    this.empty.hidden = this.channels.length > 0;
    this.empty.replaceChildren(icon("bell"), h("p", {}, h("b", {}, "Nobody is told of alerts yet"), h("span", {}, may ? "Make a channel, test it, and name it in a rule." : "An editor of all features can make a channel.")));
    const focus = /** @type {HTMLElement|null} */ (document.activeElement);
    const held = focus && this.list.contains(focus) ? { channel: focus.closest(".channel")?.getAttribute("data-channel"), act: focus.dataset.act } : null;
    this.list.replaceChildren(...this.channels.map((channel) => this.#item(channel, may)));
    if (held) /** @type {HTMLElement|null} */ (this.list.querySelector(`[data-channel="${CSS.escape(held.channel ?? "")}"] [data-act="${held.act}"]`))?.focus({ preventScroll: true });
  }

  /** Who uses a channel; the rules of an objective count once. @param {string} name */
  #users(name) {
    /** @type {Map<string, {feature: string, text: string}>} */
    const users = new Map();
    for (const { notification_channels: told, featureId: feature, name: rule, kind } of this.rules) {
      if (!told.includes(name)) continue;
      const text = `${this.#name(feature)} / ${kind === "slo" ? "objective" : rule}`;
      users.set(`${feature} ${text}`, { feature, text });
    }
    return [...users.values()];
  }

  /** @param {string} feature */
  #name(feature) {
    const known = this.context.store.features.get(feature);
    return known === undefined ? feature : nameOf(known);
  }

  /** @param {Channel} channel @param {boolean} may */
  #item(channel, may) {
    const users = this.#users(channel.name);
    const where = ["url", "to", "channel", "team", "chat_id"].map((name) => channel.settings[name]).find((value) => value !== undefined && value !== KEPT) ?? "";
    const secrets = Object.values(channel.settings).filter((value) => value === KEPT).length;
    const facts = [String(where), secrets > 0 ? (secrets === 1 ? "1 secret kept" : `${secrets} secrets kept`) : "", channel.severities.length < 4 ? channel.severities.map((one) => SEVERITY[one]?.label ?? one).join(", ") + " alone" : "", channel.send_resolved ? "" : "not told of ends"];
    const button = (/** @type {string} */ act, /** @type {string} */ text, /** @type {(event: Event) => unknown} */ run) => h("button", { class: "button button-small", type: "button", "aria-label": `${text} ${channel.name}`, dataset: { act }, onclick: run }, text);
    const said = this.tested.get(channel.name);
    return h(
      "li",
      { class: "channel", dataset: { channel: channel.name } },
      h("div", { class: "channel-main" },
        h("div", { class: "channel-line" }, h("h2", { class: "channel-name" }, channel.name), h("span", { class: "chip" }, KINDS[channel.kind]?.label ?? channel.kind), this.#delivery(channel, users)),
        h("p", { class: "channel-text" }, facts.filter(Boolean).join(" · ")),
        h("p", { class: "channel-text" }, users.length === 0 ? "No rule uses it." : "Used by ", ...users.flatMap(({ feature, text }, index) => [index > 0 ? ", " : "", h("a", { href: this.context.router.link({ page: "settings", feature }) }, text)])),
        h("p", { class: "channel-said", role: "status", dataset: { tone: said === undefined ? "" : said.delivered ? "healthy" : "error" }, hidden: said === undefined }, said === undefined ? "" : `${said.delivered ? "Delivered" : "Not delivered"}. ${sentence(said.detail)}`),
      ),
      h("div", { class: "channel-actions", hidden: !may }, button("test", "Test", (event) => void this.#test(channel, /** @type {HTMLElement} */ (event.currentTarget))), button("edit", "Edit", () => this.#edit(channel)), button("delete", "Delete", () => this.#delete(channel, users))),
    );
  }

  /** @param {Channel} channel @param {{text: string}[]} users */
  #delivery({ delivery: { by, published, error } }, users) {
    if (error) return h("span", { class: "delivery", dataset: { tone: "error" } }, icon("error"), error);
    if (by === "bridge") return h("span", { class: "delivery" }, "told by the bridge");
    if (published) return h("span", { class: "delivery" }, icon("healthy"), "told by Alertmanager");
    return h("span", { class: "delivery" }, users.length === 0 ? "no route leads to it until a rule uses it" : "its route is on its way to Alertmanager");
  }

  /** @param {Channel} channel @param {HTMLElement} button */
  async #test(channel, button) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    setText(button, "Testing…");
    try {
      this.tested.set(channel.name, await this.context.api.post(`/channels/${encodeURIComponent(channel.name)}/test`, {}));
    } catch (error) {
      this.tested.set(channel.name, { delivered: false, detail: /** @type {Error} */ (error).message });
    }
    this.drawn = "";
    this.#draw();
  }

  /** @param {Channel} [channel] */
  #edit(channel) {
    const back = () => /** @type {HTMLElement|null} */ (channel === undefined ? this.make : this.list.querySelector(`[data-channel="${CSS.escape(channel.name)}"] [data-act="edit"]`));
    editChannel(this.context, { channel, back, saved: () => void this.load() });
  }

  /** @param {Channel} channel @param {{text: string}[]} users */
  #delete(channel, users) {
    askDeleteChannel(this.context, channel, { users: users.map(({ text }) => text), done: () => void this.load(), back: () => /** @type {HTMLElement|null} */ (this.list.querySelector(`[data-channel="${CSS.escape(channel.name)}"] [data-act="delete"]`)) ?? this.title });
  }
}
