// The forms of a feature's settings page: what each shows and what it changes.

import { h } from "./kit/dom.js";
import { SettingsForm, numberOf } from "./settings-form.js";

const text = (/** @type {Record<string, unknown>} */ more = {}) => h("input", { class: "input", type: "text", autocomplete: "off", ...more });
const number = (/** @type {string} */ placeholder) => text({ inputmode: "decimal", placeholder });

export class AboutForm extends SettingsForm {
  /** @param {import("./main.js").Context} context @param {import("./declaration.js").Declaration} declaration */
  constructor(context, declaration) {
    super(context, declaration, {
      fields: ["name", "owner", "description"].map((name) => ({
        name,
        label: name.charAt(0).toUpperCase() + name.slice(1),
        help: { name: `Without one it is called ${declaration.id}.`, owner: "A team or a person.", description: "What it does, in a sentence." }[name],
        input: text({ maxlength: name === "description" ? "4000" : "200" }),
        read: (feature) => feature[name] ?? "",
      })),
      changes: ({ name, owner, description }) => ({ name: name || null, owner, description }),
    });
  }
}

/** What holds where nothing was set. */
const DEFAULTS = { error_rate: 5, response_time_p95: 10_000, uptime: 99 };
const THRESHOLDS = [
  { name: "error_rate", label: "Error rate, below", help: "Percent, 0 to 100.", bounds: { high: 100 } },
  { name: "response_time_p95", label: "Response time p95, below", help: "Milliseconds.", bounds: { low: 1 } },
  { name: "uptime", label: "Uptime, at least", help: "Percent, 0 to 100.", bounds: { high: 100 } },
];

export class ThresholdsForm extends SettingsForm {
  /** @param {import("./main.js").Context} context @param {import("./declaration.js").Declaration} declaration */
  constructor(context, declaration) {
    super(context, declaration, {
      fields: THRESHOLDS.map(({ name, label, help }) => ({
        name,
        label,
        help: `${help} Empty: ${DEFAULTS[name]}.`,
        input: number(String(DEFAULTS[name])),
        read: ({ thresholds }) => String(thresholds[name]),
      })),
      changes: (values) => ({
        thresholds: Object.fromEntries(THRESHOLDS.map(({ name, label, bounds }) => [name, numberOf(values[name], label, bounds)])),
      }),
    });
  }
}

export class ObjectiveForm extends SettingsForm {
  /** @param {import("./main.js").Context} context @param {import("./declaration.js").Declaration} declaration */
  constructor(context, declaration) {
    super(context, declaration, {
      fields: [
        { name: "objective", label: "Calls that succeed", help: "Percent, such as 99.5. Empty: no objective.", input: number("none"), read: ({ slo }) => (slo ? String(slo.objective) : "") },
        { name: "window", label: "Over", help: "1d to 366d.", input: text({ placeholder: "30d" }), read: ({ slo }) => slo?.window ?? "30d" },
        {
          name: "notification_channels",
          label: "Channels told when the budget of errors burns too fast",
          help: "Their names, separated by commas. Empty: the console alone.",
          input: text({ placeholder: "none" }),
          read: ({ slo }) => (slo?.notification_channels ?? []).join(", "),
        },
        { name: "cooldown", label: "Between two reminders", help: "Minutes, 1 to 7200.", input: number("60"), read: ({ slo }) => String(slo?.cooldown_minutes ?? 60) },
      ],
      changes: (values) => {
        const objective = numberOf(values.objective, "Calls that succeed");
        if (objective === null) return { slo: null };
        const channels = values.notification_channels.split(",").map((name) => name.trim()).filter(Boolean);
        const cooldown = numberOf(values.cooldown, "Between two reminders", { low: 1, high: 7200 }) ?? 60;
        return { slo: { objective, window: values.window || "30d", notification_channels: channels, cooldown_minutes: cooldown } };
      },
    });
  }
}
