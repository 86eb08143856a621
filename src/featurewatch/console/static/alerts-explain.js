// Was anyone notified, and why not: what `GET /alerts/{id}/explain` says, as an answer. `answerOf` is pure.

import { minutesText, sentence, withInstants } from "./alerts-words.js";
import { h } from "./kit/dom.js";
import { moment } from "./kit/format.js";
import { icon } from "./kit/icons.js";

/**
 * @typedef {{timestamp: string, receiver: string, status: string}} Told
 * @typedef {{summary: string, reasons: string[], rule: {name: string, channels: string[]}|null, route: {label: string|null, channels: string[]},
 *     receivers: string[], silences: {id: string, created_by?: string, comment?: string, ends_at?: string}[], inhibited_by: {fingerprint: string, title: string}[],
 *     maintenance: string[], cooldown_minutes: number|null, deliveries: Told[], firing_in_alertmanager: boolean|null, next_notification_at: string|null}} Explained
 */

/** The bridge's own receivers keep the history; they tell no people. @param {string} name */
export const isOurs = (name) => name === "featurewatch" || name === "featurewatch/bridge";

/** Why a delivery failed, "" where it did not. @param {string} status */
export const failureOf = (status) => (status.startsWith("failed: ") ? status.slice(8) : "");

/** A receiver of ours stands for channels, and is named by those that are told of this alert. @param {string} name @param {string[]} channels */
const plainly = (name, channels) => (name.startsWith("featurewatch/") && channels.length > 0 ? channels.join(", ") : name);

/**
 * Answer in a word and a sentence.
 * @param {Explained} told @returns {{tone: "healthy"|"warning"|"unknown", word: string, text: string, deliveries: Told[]}}
 */
export function answerOf(told) {
  const deliveries = told.deliveries.filter(({ receiver }) => !isOurs(receiver));
  const firing = deliveries.filter(({ status }) => status === "firing");
  const why = told.reasons[0] ?? "";
  // The last word of each channel that could not be told.
  const failures = [...new Map(deliveries.filter(({ status }) => failureOf(status) !== "").map((one) => [one.receiver, `${one.receiver} could not be told at ${one.timestamp}: ${failureOf(one.status)}.`])).values()];
  if (firing.length > 0) {
    const names = [...new Set(firing.map(({ receiver }) => receiver))].join(", ");
    const last = firing[firing.length - 1].timestamp;
    const times = firing.length === 1 ? `at ${last}` : `${firing.length} times, last at ${last}`;
    // Alertmanager keeps its deliveries to itself; where the bridge tells people, each is known.
    const silent = told.firing_in_alertmanager === null ? told.route.channels.filter((name) => !firing.some(({ receiver }) => receiver === name)) : [];
    const unknown = silent.filter((name) => !failures.some((one) => one.startsWith(`${name} `)));
    const missing = [...failures.filter((one) => silent.some((name) => one.startsWith(`${name} `))), ...(unknown.length === 0 ? [] : [`No delivery to ${unknown.join(", ")} is known.`])].map((one) => ` ${one}`).join("");
    return { tone: "healthy", word: "Yes", text: `${names} took it ${times}.${missing}${why === "" ? "" : ` Nothing more is sent: ${why}.`}`, deliveries };
  }
  const people = told.receivers.filter((name) => !isOurs(name));
  if (why === "" && people.length > 0) return { tone: "healthy", word: "Yes", text: `Alertmanager tells ${people.map((name) => plainly(name, told.route.channels)).join(", ")}.`, deliveries };
  if (why === "" && failures.length > 0) return { tone: "warning", word: "No", text: failures.join(" "), deliveries };
  if (why === "" && told.route.channels.length > 0) {
    return { tone: "warning", word: "Not yet", text: `${told.route.channels.join(", ")} should be told, and no delivery is known so far. If this stays, test the channel.`, deliveries };
  }
  return { tone: "warning", word: "No", text: `${sentence(why || told.summary)}.`, deliveries };
}

/** Put a text into nodes, its instants in the reader's own time. @param {string} text */
export function timed(text) {
  return withInstants(text).map((part) => (typeof part === "string" ? part : h("time", { datetime: part.toISOString(), title: part.toISOString() }, moment(part, new Date()))));
}

/** @param {Explained} told @returns {HTMLElement} */
export function explained(told) {
  const { tone, word, text, deliveries } = answerOf(told);
  const more = told.reasons.slice(word === "No" ? 1 : 0).map((reason) => h("li", {}, ...timed(`${sentence(reason)}.`)));
  /** @type {[string, (Node|string)[]][]} */
  const facts = [];
  if (told.route.channels.length > 0) facts.push(["Channels of the rule", [told.route.channels.join(", ")]]);
  if (told.cooldown_minutes !== null) facts.push(["Reminders", [told.cooldown_minutes === 1 ? "every minute" : `every ${minutesText(told.cooldown_minutes)}`]]);
  if (told.next_notification_at !== null && told.route.channels.length > 0) facts.push(["Next reminder", timed(told.next_notification_at)]);
  for (const { created_by: by, comment, ends_at: end } of told.silences) facts.push(["Silenced", timed([by && `by ${by}`, end && `until ${end}`, comment && `(${comment})`].filter(Boolean).join(" ") || "yes")]);
  for (const { title, fingerprint } of told.inhibited_by) facts.push(["Held back by", [title || fingerprint]]);
  if (told.firing_in_alertmanager !== null) facts.push(["In Alertmanager", [told.firing_in_alertmanager ? "it fires there" : "it does not fire there"]]);
  for (const { receiver, status, timestamp } of deliveries) facts.push([failureOf(status) !== "" ? "Not told" : status === "firing" ? "Told" : "Told the end", timed(`${receiver}, ${timestamp}`)]);
  return h(
    "div",
    { class: "explained" },
    h("p", { class: "answer", dataset: { tone } }, icon(tone === "healthy" ? "healthy" : "warning"), h("span", {}, h("b", {}, `${word}. `), ...timed(text))),
    more.length > 0 && h("ul", { class: "answer-more" }, ...more),
    facts.length > 0 && h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, ...value)])),
  );
}
