// How many alerts are active, beside the way to them.

import { feedOf } from "./alerts-shared.js";
import { h, oncePerFrame, setText } from "./kit/dom.js";

/** @param {import("./main.js").Context} context @param {HTMLElement|undefined} link */
export function countAlerts(context, link) {
  const number = h("span", { "aria-hidden": "true" });
  const words = h("span", { class: "visually-hidden" });
  const mark = h("span", { class: "nav-count", hidden: true }, number, words);
  link?.append(mark);
  const draw = oncePerFrame(() => {
    const active = feedOf(context).list({ environment: context.router.route.env }).filter(({ status }) => status === "active");
    mark.hidden = active.length === 0;
    mark.dataset.grave = String(active.some(({ severity }) => severity === "critical" || severity === "high"));
    setText(number, active.length > 99 ? "99+" : String(active.length));
    setText(words, `, ${active.length} active`);
  });
  feedOf(context).subscribe(draw);
  context.router.subscribe(draw);
  draw();
}
