// Making, changing and deleting a rule, with what it would have done beside it.

import { Dialog, ask } from "./alerts-dialog.js";
import { showProblems } from "./alerts-form.js";
import { SEVERITY, conditionText, minutesText } from "./alerts-words.js";
import { debounce, h } from "./kit/dom.js";
import { NEW_RULE, RuleFields } from "./rules-fields.js";
import { RulePreview } from "./rules-preview.js";

/** @typedef {import("./rules-fields.js").Rule} Rule */

/**
 * Open the editor of a rule; without a right to edit it, what it is and would have done.
 * @param {import("./main.js").Context} context @param {string} feature
 * @param {{rule?: Rule, saved: () => void, back: () => HTMLElement|null}} options rule: left out for a new one
 */
export async function editRule(context, feature, { rule, saved, back }) {
  const may = context.caller.may("edit") && rule?.kind !== "slo";
  const path = `/features/${encodeURIComponent(feature)}/alerts/rules`;
  let touched = false;
  const dialog = new Dialog({ title: rule === undefined ? "New rule" : rule.name, kind: "wide", back, dirty: () => touched, closed: () => preview.close() });
  const preview = new RulePreview(context, feature);
  dialog.open();
  if (!may) {
    dialog.body.append(h("div", { class: "rule-editor" }, facts(/** @type {Rule} */ (rule)), preview.element));
    await preview.show({ id: /** @type {Rule} */ (rule).id });
    return;
  }
  const { channels } = await context.api.get("/channels").catch(() => ({ channels: [] }));
  const about = context.store.features.get(feature)?.about ?? {};
  const fields = new RuleFields({ ...NEW_RULE, ...rule }, { channels, environments: about.environments ?? [], channelsLink: context.router.link({ page: "channels" }) });
  const form = h("form", { class: "rule-form", method: "dialog", novalidate: true }, fields.element);
  form.id = `${dialog.title.id}-form`;
  const send = h("button", { class: "button button-main", type: "submit", form: form.id }, rule === undefined ? "Make the rule" : "Save");
  const based = rule === undefined ? {} : { id: rule.id };
  /** @type {Set<string>} fields that people were at: the others are not found fault with while they type */
  const seen = new Set();
  const tryOut = async () => {
    const { name, ...body } = fields.body();
    // What it is called makes no difference to when it fires.
    const named = String(name).trim() !== "";
    const details = body.threshold === null ? preview.wait() : await preview.show({ ...based, ...body, ...(named ? { name } : {}) });
    // A preview without a name says nothing of it: what a refused save said of it stays.
    showProblems(named ? fields.fields : fields.fields.filter((field) => field.name !== "name"), details, (name) => seen.has(name));
  };
  const soon = debounce(() => void tryOut(), 400);
  const changed = (/** @type {Event} */ event) => {
    const name = /** @type {HTMLElement} */ (event.target).closest("[data-field]")?.getAttribute("data-field");
    if (name) seen.add(name);
    touched = true;
    dialog.warned = false;
    dialog.say("");
    fields.arrange();
    soon();
  };
  for (const type of ["input", "change", "click"]) {
    form.addEventListener(type, (event) => (type !== "click" || /** @type {HTMLElement} */ (event.target).closest(".toggle")) && changed(event));
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.getAttribute("aria-busy") === "true") return;
    send.setAttribute("aria-busy", "true");
    dialog.say("");
    try {
      await (rule === undefined ? context.api.post(path, fields.body()) : context.api.put(`${path}/${rule.id}`, fields.body(), rule.revision));
      touched = false;
      dialog.close({ sure: true });
      saved();
    } catch (error) {
      const { status, message, details = [] } = /** @type {import("./kit/api.js").ApiError} */ (error);
      const { rest, first } = showProblems(fields.fields, details);
      for (const { name } of fields.fields) seen.add(name);
      const conflict = status === 412 ? "Somebody else changed this rule meanwhile. Close it and open it again to see what it is now." : "";
      dialog.say(conflict || rest.join(" ") || (first ? "" : message));
      first?.focus();
    }
    send.removeAttribute("aria-busy");
  });
  dialog.body.append(h("div", { class: "rule-editor" }, form, preview.element));
  const remove = () => askDelete(context, path, /** @type {Rule} */ (rule), back, () => {
    dialog.close({ sure: true });
    saved();
  });
  dialog.setFoot(
    ...(rule === undefined ? [] : [h("button", { class: "button button-danger-quiet", type: "button", onclick: remove }, "Delete")]),
    h("span", { class: "foot-space" }),
    h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"),
    send,
  );
  if (rule?.origin === "file") dialog.say("A features.yml keeps this rule: what you change here lasts until it is applied again.");
  if (rule === undefined) fields.fields[0].focus();
  await tryOut();
}

/** @param {import("./main.js").Context} context @param {string} path @param {Rule} rule @param {() => HTMLElement|null} back @param {() => void} done */
function askDelete(context, path, rule, back, done) {
  return ask({
    title: `Delete “${rule.name}”?`,
    text: [h("p", {}, "An alert of it that fires ends now, with the reason that its rule was removed. What it alerted before stays in the history. To keep it for later, switch it off instead.")],
    confirm: "Delete the rule",
    danger: true,
    back,
    send: async () => {
      await context.api.delete(`${path}/${rule.id}`, rule.revision);
      done();
    },
  });
}

/** @param {Rule} rule */
function facts(rule) {
  /** @type {[string, string][]} */
  const told = [
    ["Fires where", conditionText(rule)],
    ["Severity", SEVERITY[rule.severity]?.label ?? rule.severity],
    ["Looks at the last", minutesText(rule.window_minutes)],
    ["Has to hold for", rule.for_minutes === 0 ? "no time: it fires at once" : minutesText(rule.for_minutes)],
    ["Keeps firing for", rule.keep_firing_minutes === 0 ? "no longer than it holds" : minutesText(rule.keep_firing_minutes)],
    ["Reminds every", minutesText(rule.cooldown_minutes)],
    ["Who is told", rule.notification_channels.join(", ") || "nobody: it shows in the console alone"],
    ["Environment", rule.environment ?? "each by itself"],
  ];
  if (rule.burn) told.splice(2, 2, ["Of the error budget", `${rule.burn.factor} times too fast, over ${minutesText(rule.burn.long_minutes)} and ${minutesText(rule.burn.short_minutes)}`]);
  if (rule.logs) told.splice(1, 0, ["Lines", [rule.logs.levels.join(", ") || "all levels", rule.logs.search && `that contain “${rule.logs.search}”`, rule.logs.source && `from ${rule.logs.source}`].filter(Boolean).join(", ")]);
  const note = rule.kind === "slo" ? "This rule stands for the feature's objective, and changes with it." : "Your role may look at this rule, not change it. An editor can.";
  return h("div", { class: "rule-form" }, h("p", { class: "callout" }, note), h("dl", { class: "facts" }, ...told.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])));
}
