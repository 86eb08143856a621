// What people do to alerts: one or many, with a comment; what is refused is told in the box that asked.

import { ask } from "./alerts-dialog.js";
import { Field, select } from "./alerts-form.js";
import { feedOf } from "./alerts-shared.js";
import { h } from "./kit/dom.js";

/** @typedef {import("./alerts-words.js").Alert} Alert */
/** @typedef {import("./main.js").Context} Context */

/** @type {[string, string][]} */
const EXPIRIES = [["", "Until the alert ends"], ["30", "For 30 minutes"], ["60", "For 1 hour"], ["240", "For 4 hours"], ["1440", "For 24 hours"]];

/** @param {Alert[]} alerts @param {string} word */
const titled = (alerts, word) => (alerts.length === 1 ? `${word} “${alerts[0].title}”` : `${word} ${alerts.length} alerts`);

/** @param {string} [help] */
function commentField(help = "") {
  const control = h("textarea", { class: "input textarea", rows: "3", maxlength: "4000" });
  return new Field({ name: "comment", label: "Comment", control, read: () => /** @type {any} */ (control).value.trim(), help, wide: true });
}

/**
 * Send an action, for one by its own path and for many at once; returns what failed, in words.
 * @param {Context} context @param {Alert[]} alerts @param {"acknowledge"|"unacknowledge"|"resolve"|"comment"} action @param {Record<string, unknown>} [body]
 * @returns {Promise<string>}
 */
export async function act(context, alerts, action, body = {}) {
  const feed = feedOf(context);
  if (alerts.length === 1) {
    const path = `/alerts/${encodeURIComponent(alerts[0].id)}`;
    const answer = action === "unacknowledge" ? await context.api.delete(`${path}/acknowledge`) : await context.api.post(`${path}/${action === "comment" ? "comments" : action}`, body);
    feed.take(answer, answer.status === "resolved" ? "alert_resolved" : "alert_updated");
    return "";
  }
  const { alerts: done, failed } = await context.api.post("/alerts/bulk", { ids: alerts.map(({ id }) => id), action, ...body });
  for (const alert of done) feed.take(alert, alert.status === "resolved" ? "alert_resolved" : "alert_updated");
  if (failed.length === 0) return "";
  const names = failed.map((/** @type {{id: string, error: string}} */ one) => `${alerts.find(({ id }) => id === one.id)?.title ?? one.id}: ${one.error}`);
  return `${done.length} done, ${failed.length} refused. ${names.join(" ")}`;
}

/** @param {Context} context @param {Alert[]} alerts @param {() => HTMLElement|null} [back] */
export function askAcknowledge(context, alerts, back) {
  const comment = commentField();
  const control = select(EXPIRIES, "");
  const expiry = new Field({ name: "expires_minutes", label: "Keep it quiet", control, read: () => (control.value === "" ? null : Number(control.value)) });
  return ask({
    title: titled(alerts, "Acknowledge"),
    text: [h("p", {}, "You take it on: nobody is notified of it meanwhile, and everybody sees that you look after it.")],
    fields: [comment, expiry],
    confirm: "Acknowledge",
    back,
    send: () => act(context, alerts, "acknowledge", { comment: comment.read(), expires_minutes: expiry.read() }),
  });
}

/** @param {Context} context @param {Alert[]} alerts @param {() => HTMLElement|null} [back] */
export function askUnacknowledge(context, alerts, back) {
  return ask({
    title: titled(alerts, "Give back"),
    text: [h("p", {}, "Nobody looks after it then: people are notified again.")],
    confirm: "Un-acknowledge",
    back,
    send: () => act(context, alerts, "unacknowledge"),
  });
}

/** @param {Context} context @param {Alert[]} alerts @param {() => HTMLElement|null} [back] */
export function askResolve(context, alerts, back) {
  const comment = commentField("What was wrong, what was done: whoever sees it next will want to know.");
  const holds = alerts.filter(({ condition_active: active }) => active).length;
  const warning =
    alerts.length === 1
      ? "Its condition still holds. Closed by hand, it stays silent until the condition clears; what fires after that is a new alert."
      : `The conditions of ${holds === alerts.length ? "all" : holds} of these still hold. Closed by hand, they stay silent until their conditions clear; what fires after that is a new alert.`;
  return ask({
    title: titled(alerts, "Resolve"),
    text: [holds > 0 && h("p", { class: "callout", dataset: { tone: "warning" } }, warning)],
    fields: [comment],
    confirm: holds > 0 ? "Resolve all the same" : "Resolve",
    back,
    send: () => act(context, alerts, "resolve", { comment: comment.read() }),
  });
}

/** @param {Context} context @param {Alert[]} alerts @param {() => HTMLElement|null} [back] */
export function askComment(context, alerts, back) {
  const comment = commentField();
  return ask({
    title: alerts.length === 1 ? `Comment on “${alerts[0].title}”` : `Comment on ${alerts.length} alerts`,
    fields: [comment],
    confirm: "Add comment",
    back,
    send: async () => {
      if (comment.read() !== "") return act(context, alerts, "comment", { comment: comment.read() });
      comment.fail("Say something first.");
      comment.focus();
      return " ";
    },
  });
}
