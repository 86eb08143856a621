// A feature's settings, section by section; each leads to the lines that belong to it.

import { h, setText } from "./kit/dom.js";
import { icon } from "./kit/icons.js";
import { plain } from "./kit/plain-text.js";
import { Later } from "./later.js";
import { AboutForm, ObjectiveForm, ThresholdsForm } from "./settings-forms.js";
import { Budget } from "./budget.js";
import { Declaration } from "./declaration.js";

/**
 * @typedef {object} SettingsPart
 * @property {HTMLElement} element
 * @property {() => void} [close]
 *
 * @typedef {object} SettingsSection
 * @property {string} title
 * @property {string} help   one sentence: what is set here, and what follows from it
 * @property {Partial<import("./kit/log-query.js").Filters>} logs   what the log shows first when it is opened from here
 * @property {(context: import("./main.js").Context, id: string, declaration: Declaration) => SettingsPart} make
 */

/** The sections, in order: one entry adds one. @type {SettingsSection[]} */
export const settingsSections = [
  {
    title: "Name and owner",
    help: "What people call the feature, and who answers for it.",
    logs: {},
    make: (context, id, declaration) => new AboutForm(context, declaration),
  },
  {
    title: "Thresholds",
    help: "What the feature must keep to be healthy. One missed makes it a warning.",
    logs: { levels: ["warn", "error", "fatal"] },
    make: (context, id, declaration) => new ThresholdsForm(context, declaration),
  },
  {
    title: "Objective",
    help: "How many of the calls have to succeed over a longer time. Alerts on how fast the rest is used up follow from it.",
    logs: { levels: ["error", "fatal"] },
    make: (context, id, declaration) => new ObjectiveForm(context, declaration),
  },
  {
    title: "Alert rules",
    help: "When an alert fires, and who is told.",
    logs: { levels: ["warn", "error", "fatal"] },
    make: (context, id, declaration) => new Later(() => import("./rules-section.js"), ({ RulesSection }) => new RulesSection(context, id, declaration)),
  },
  {
    title: "Maintenance",
    help: "Times in which nobody is notified of the feature's alerts.",
    logs: {},
    make: (context, id) => new Later(() => import("./maintenance-section.js"), ({ MaintenanceSection }) => new MaintenanceSection(context, id)),
  },
  {
    title: "Budget",
    help: "What the feature may cost a day. The app declares it.",
    logs: {},
    make: (context, id) => new Budget(context, id),
  },
];

export class SettingsPage {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    this.context = context;
    this.declaration = new Declaration(context.api, id);
    this.title = h("span", {}, id);
    this.back = h("a", { class: "back" }, icon("back"), this.title);
    this.note = h("p", { class: "none panel", role: "status" }, "Loading…");
    this.parts = settingsSections.map((section) => ({ section, part: section.make(context, id, this.declaration) }));
    this.body = h("div", { class: "settings-body" }, this.note);
    this.readOnly = h("p", { class: "notice", hidden: true }, icon("lock"), "Your role may look at these settings, not change them. An editor can.");
    this.element = h("div", { class: "page settings" }, this.back, h("h1", { class: "page-title" }, "Settings"), this.readOnly, this.body);
    this.ends = [
      this.declaration.subscribe(() => {
        if (this.declaration.feature !== null) context.store.describe(this.declaration.feature);
        this.#draw();
      }),
      context.caller.subscribe(() => this.#draw()),
      context.router.subscribe(() => this.#draw()),
    ];
    this.#draw();
    void this.declaration.load();
  }

  close() {
    for (const end of this.ends) end();
    for (const { part } of this.parts) part.close?.();
  }

  refresh() {
    void this.declaration.load();
  }

  #draw() {
    const { router, caller } = this.context;
    const { feature, problem, id } = this.declaration;
    this.back.setAttribute("href", router.link({ page: "feature", feature: id }));
    this.readOnly.hidden = caller.me === null || caller.may("edit");
    if (feature === null) {
      if (problem !== "") this.note.setAttribute("role", "alert");
      setText(this.note, problem === "" ? "Loading…" : problem);
      return;
    }
    const name = plain(feature.name || id);
    setText(this.title, name);
    document.title = `Settings of ${name} · featurewatch`;
    if (this.note.parentNode === this.body) this.body.replaceChildren(...this.parts.map((entry) => this.#section(entry)));
  }

  /** @param {{section: SettingsSection, part: SettingsPart}} entry */
  #section({ section: { title, help, logs }, part }) {
    const open = () => this.context.openLogs(this.declaration.id, { levels: [], search: "", ...logs });
    return h(
      "section",
      { class: "panel setting", "aria-label": title },
      h(
        "header",
        { class: "setting-head" },
        h("h2", {}, title),
        h("p", {}, help),
        h("button", { class: "button button-small", type: "button", onclick: open, "aria-label": `View logs: ${title}` }, icon("logs"), "View logs"),
      ),
      part.element,
    );
  }
}
