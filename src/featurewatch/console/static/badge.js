// The connection's state in the header: read aloud when it changes, pressed to try again.

import { h, setAttribute, setText } from "./dom.js";

/** @type {Record<import("./client.js").ConnectionState, {text: string, tone: string, help: string}>} */
const SHOWN = {
  connecting: { text: "Connecting…", tone: "waiting", help: "Opening the live connection" },
  live: { text: "Live", tone: "live", help: "Figures and lines arrive as they happen" },
  "live-sse": { text: "Live (SSE)", tone: "live", help: "WebSocket does not pass here: server-sent events carry what you look at" },
  "live-polling": { text: "Live (polling)", tone: "live", help: "WebSocket does not pass here: figures are asked for every 5 seconds" },
  reconnecting: { text: "Reconnecting…", tone: "waiting", help: "The connection was lost and is being opened again" },
  disconnected: { text: "Disconnected", tone: "lost", help: "The bridge cannot be reached; what you see is what was last known. Press to try now." },
  "signed-out": { text: "Signed out", tone: "lost", help: "Sign in to see live figures" },
};

/** @param {import("./client.js").LiveClient} client @param {{quiet?: boolean}} [options] quiet: a second badge, not read aloud again @returns {HTMLElement} */
export function connectionBadge(client, { quiet = false } = {}) {
  const label = h("span", quiet ? {} : { role: "status", "aria-live": "polite" });
  const badge = h("button", { class: "badge", type: "button", onclick: () => client.retry() }, h("span", { class: "badge-dot", "aria-hidden": "true" }), label);
  const show = () => {
    const { text, tone, help } = SHOWN[client.state];
    badge.dataset.tone = tone;
    badge.dataset.state = client.state;
    setText(label, text);
    setAttribute(badge, "title", help);
  };
  client.subscribe("state", show);
  show();
  return badge;
}
