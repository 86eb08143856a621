// The connection's state in the header: read aloud when it changes, with a way to try again at once.

import { h, setAttribute, setText } from "./dom.js";

/** @type {Record<import("./client.js").ConnectionState, {text: string, tone: string, help: string}>} */
const SHOWN = {
  idle: { text: "Idle", tone: "waiting", help: "Nothing on this page asks for live data yet" },
  connecting: { text: "Connecting…", tone: "waiting", help: "Opening the live connection" },
  live: { text: "Live", tone: "live", help: "Figures and lines arrive as they happen" },
  "live-sse": { text: "Live (SSE)", tone: "live", help: "WebSocket does not pass here: server-sent events carry the same" },
  reconnecting: { text: "Reconnecting…", tone: "waiting", help: "The connection was lost and is being opened again" },
  disconnected: { text: "Disconnected", tone: "lost", help: "The bridge cannot be reached; what you see is what was last known." },
  "signed-out": { text: "Signed out", tone: "lost", help: "Sign in to see live figures" },
  paused: { text: "Paused", tone: "waiting", help: "This page was hidden for long; it goes on when it is seen" },
};

/**
 * @param {import("./client.js").LiveClient} client @param {{quiet?: boolean}} [options] quiet: a second badge, not read aloud again
 * @returns {{badge: HTMLElement, end: () => void}}
 */
export function connectionBadge(client, { quiet = false } = {}) {
  const label = h("span", quiet ? { class: "badge-text", part: "text" } : { class: "badge-text", part: "text", role: "status", "aria-live": "polite" });
  const retry = h("button", { class: "badge-retry", part: "retry", type: "button", onclick: () => client.retry() }, "Try now");
  const badge = h("span", { class: "badge", part: "badge" }, h("span", { class: "badge-dot", part: "dot", "aria-hidden": "true" }), label, retry);
  const show = () => {
    const { text, tone, help } = SHOWN[client.state];
    badge.dataset.tone = tone;
    badge.dataset.state = client.state;
    setText(label, text);
    setAttribute(badge, "title", help);
    retry.hidden = client.state !== "disconnected";
  };
  const end = client.subscribe("state", show);
  show();
  return { badge, end };
}
