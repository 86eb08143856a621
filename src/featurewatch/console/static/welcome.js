// What a console without data says: how to send the first call.

import { copyFrom, h } from "./kit/dom.js";

/** @param {{features?: string[]}|null} me who looks */
export function welcome(me) {
  const only = (me?.features ?? ["*"]).filter((pattern) => pattern !== "*");
  const code = [
    "import featurewatch",
    `featurewatch.configure(endpoint="${location.origin}")`,
    'summarize = featurewatch.Feature("summarize")',
    'with summarize.call(model="gpt-5-mini") as call:',
    "    call.tokens(input=812, output=120)",
  ].join("\n");
  const copy = h("button", { class: "button", type: "button", onclick: () => copyFrom(copy, code) }, "Copy");
  return h(
    "section",
    { class: "welcome panel" },
    h("h2", {}, "No feature has been seen yet"),
    h("p", {}, "Run these five lines of Python where featurewatch is installed, and the feature appears here within seconds."),
    only.length > 0 && h("p", {}, `You see features named ${only.join(", ")} alone: ask whoever runs the bridge where others are missing.`),
    h("div", { class: "code" }, h("pre", { tabindex: "0" }, h("code", {}, code)), copy),
  );
}
