// What a feature may cost a day, and what it cost in the last 24 hours.

import { h } from "./kit/dom.js";
import { asText, usd } from "./kit/format.js";
import { Section } from "./section.js";

/** @param {{budget_usd_per_day?: number, total_cost: number|null}} answer */
export function budgetLine({ budget_usd_per_day: budget, total_cost: cost }) {
  if (budget === undefined) return null;
  const share = budget > 0 && cost !== null ? cost / budget : null;
  const text = `${cost === null ? "Unknown" : asText(usd(cost))} of ${asText(usd(budget))} in the last 24 hours${share === null ? "" : ` (${Math.round(share * 100)} %)`}`;
  const bar = h("span", { class: "budget-bar", "aria-hidden": "true" }, h("span", { class: "budget-spent" }));
  /** @type {HTMLElement} */ (bar.firstChild).style.setProperty("--share", String(Math.min(1, share ?? 0)));
  const tone = share === null ? "unknown" : share > 1 ? "error" : share > 0.8 ? "warning" : "good";
  const word = { error: "Over budget: ", warning: "Nearly spent: ", good: "", unknown: "" }[tone];
  return h("div", { class: "budget", dataset: { tone } }, h("p", { class: "budget-text" }, word, text), bar);
}

/** @extends {Section<any>} */
export class Budget extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    super({
      title: "Budget",
      kind: "budget",
      empty: "",
      load: (environment, signal) => context.api.get(`/features/${encodeURIComponent(id)}/costs`, { time_range: "24h", environment }, signal),
      draw: (answer) => budgetLine(answer) ?? h("div", { class: "budget" }, h("p", {}, "The app declared no budget. It does so in its code:"), h("pre", { class: "budget-code", tabindex: "0" }, h("code", {}, `featurewatch.Feature("${id}", budget_usd_per_day=10)`))),
      every: 60_000,
      bare: true,
    });
    this.show(context.router.route.env);
  }
}
