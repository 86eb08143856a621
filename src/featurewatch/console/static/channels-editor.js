// Making and changing a channel. A secret that there is never comes back: it is kept, replaced or removed.

import { Dialog, ask } from "./alerts-dialog.js";
import { Field, checks, select, showProblems, textInput, toggle, typedNumber } from "./alerts-form.js";
import { SEVERITIES, SEVERITY } from "./alerts-words.js";
import { h } from "./kit/dom.js";
import { KEPT, KINDS } from "./channels-kinds.js";

/** @typedef {{name: string, kind: string, settings: Record<string, any>, send_resolved: boolean, severities: string[], delivery: {by: string, published: boolean, error?: string}, revision: number}} Channel */

/** A field of a setting. @param {import("./channels-kinds.js").Setting} setting @param {any} value what answers show of it @returns {Field} */
function settingField({ name, label, help = "", required = false, secret = false, type = "text", example = "" }, value) {
  const full = { name: `settings.${name}`, label: required ? label : `${label} (optional)`, help };
  if (type === "flag") {
    const control = toggle(label, value !== false);
    return new Field({ ...full, label, control, read: () => control.getAttribute("aria-checked") === "true" });
  }
  const input = textInput({ type: secret ? "password" : "text", value: secret ? "" : (value ?? ""), placeholder: example, autocomplete: secret ? "new-password" : "off" });
  if (secret && value === KEPT) return keptField(full, input, required);
  const read = () => (type === "number" ? typedNumber(input.value) : input.value.trim() || null);
  return new Field({ ...full, control: input, read, wide: name.includes("url") || name === "to" });
}

/** A secret that there is: kept unless another is typed, or it is removed. @param {{name: string, label: string, help: string}} full @param {HTMLElement & Record<string, any>} input @param {boolean} required */
function keptField(full, input, required) {
  let removed = false;
  input.placeholder = "Kept. Type another to replace it";
  const remove = h("button", { class: "button button-small", type: "button", hidden: required }, "Remove");
  remove.addEventListener("click", () => {
    removed = !removed;
    input.disabled = removed;
    input.placeholder = removed ? "Removed when you save" : "Kept. Type another to replace it";
    remove.textContent = removed ? "Keep" : "Remove";
  });
  const field = new Field({ ...full, control: input, read: () => (removed ? null : input.value === "" ? KEPT : input.value), wide: true });
  field.element.querySelector(".entry-control")?.append(remove);
  return field;
}

/**
 * @param {import("./main.js").Context} context
 * @param {{channel?: Channel, saved: () => void, back: () => HTMLElement|null}} options channel: left out for a new one
 */
export function editChannel(context, { channel, saved, back }) {
  let touched = false;
  const dialog = new Dialog({ title: channel === undefined ? "New channel" : channel.name, kind: "box", back, dirty: () => touched });
  const name = textInput({ value: channel?.name ?? "", maxlength: "64", placeholder: "ops" });
  const kind = select(Object.entries(KINDS).map(([one, { label }]) => [one, label]), channel?.kind ?? "webhook");
  const nameField = new Field({ name: "channel", label: "Name", control: name, read: () => name.value.trim(), help: "What rules call it." });
  const kindField = new Field({ name: "kind", label: "Kind", control: kind, read: () => kind.value });
  const severities = checks([...SEVERITIES].reverse().map((one) => [one, SEVERITY[one].label]), channel?.severities ?? SEVERITIES);
  const severityField = new Field({ name: "severities", label: "Is told of alerts that are", control: severities.element, read: severities.read, group: true, wide: true });
  const resolved = toggle("Is told when an alert ends", channel?.send_resolved ?? true);
  const resolvedField = new Field({ name: "send_resolved", label: "Is told when an alert ends", control: resolved, read: () => resolved.getAttribute("aria-checked") === "true" });
  const place = h("div", { class: "entries" });
  /** @type {Field[]} */
  let settings = [];
  const arrange = () => {
    const known = channel !== undefined && channel.kind === kind.value ? channel.settings : {};
    settings = KINDS[kind.value].settings.map((setting) => settingField(setting, known[setting.name]));
    place.replaceChildren(...settings.map(({ element }) => element));
  };
  kind.addEventListener("change", arrange);
  arrange();
  if (channel !== undefined) nameField.element.hidden = true;
  const form = h("form", { class: "sheet-form", method: "dialog", novalidate: true }, h("div", { class: "entries" }, nameField.element, kindField.element), place, h("div", { class: "entries" }, severityField.element, resolvedField.element));
  form.id = `${dialog.title.id}-form`;
  form.addEventListener("input", () => (touched = true));
  const send = h("button", { class: "button button-main", type: "submit", form: form.id }, channel === undefined ? "Make the channel" : "Save");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.getAttribute("aria-busy") === "true") return;
    send.setAttribute("aria-busy", "true");
    dialog.say("");
    const fields = [nameField, kindField, ...settings, severityField, resolvedField];
    try {
      if (nameField.read() === "") throw Object.assign(new Error(""), { details: [{ field: "channel", message: "expected what rules call it, such as ops" }] });
      if (channel === undefined && (await exists(context, /** @type {string} */ (nameField.read())))) throw Object.assign(new Error(""), { details: [{ field: "channel", message: "there is a channel of this name: choose another, or edit that one" }] });
      await context.api.put(
        `/channels/${encodeURIComponent(/** @type {string} */ (nameField.read()))}`,
        { kind: kind.value, settings: Object.fromEntries(settings.map((field) => [field.name.replace("settings.", ""), field.read()])), send_resolved: resolvedField.read(), severities: severityField.read() },
        channel?.revision,
      );
      touched = false;
      dialog.close({ sure: true });
      saved();
    } catch (error) {
      const { status, message, details = [] } = /** @type {import("./kit/api.js").ApiError} */ (error);
      const named = details.length > 0 || !message.startsWith("channel:") ? details : [{ field: "channel", message: message.replace("channel: ", "") }];
      const { rest, first } = showProblems(fields, named);
      dialog.say(status === 412 ? "Somebody else changed this channel meanwhile. Close it and open it again to see what it is now." : rest.join(" ") || (first ? "" : message));
      first?.focus();
    }
    send.removeAttribute("aria-busy");
  });
  dialog.body.append(form);
  dialog.setFoot(h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), send);
  dialog.open(channel === undefined ? name : undefined);
}

/** @param {import("./main.js").Context} context @param {string} name */
async function exists(context, name) {
  const { channels } = await context.api.get("/channels");
  return channels.some((/** @type {Channel} */ one) => one.name === name);
}

/** @param {import("./main.js").Context} context @param {Channel} channel @param {{users: string[], done: () => void, back: () => HTMLElement|null}} options */
export function askDeleteChannel(context, channel, { users, done, back }) {
  const used = users.length > 0 && h("p", { class: "callout", dataset: { tone: "warning" } }, `Rules use it: ${users.join(", ")}. Take it out of them first; until then it is not deleted.`);
  return ask({
    title: `Delete “${channel.name}”?`,
    text: [used, h("p", {}, "Its secrets are deleted with it.")],
    confirm: "Delete the channel",
    danger: true,
    back,
    send: async () => {
      await context.api.delete(`/channels/${encodeURIComponent(channel.name)}`, channel.revision);
      done();
    },
  });
}
