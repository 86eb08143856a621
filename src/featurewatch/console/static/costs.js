// What a feature cost, by model.

import { budgetLine } from "./budget.js";
import { h, setText } from "./kit/dom.js";
import { asText, count, usd } from "./kit/format.js";
import { Section } from "./section.js";
import { TIMES, figuresRange } from "./times.js";

/** @extends {Section<any>} */
export class Costs extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    const range = () => figuresRange(context.router.route) || "1h";
    const over = h("span", { class: "section-note" });
    const ask = (/** @type {string} */ time_range, /** @type {string} */ environment, /** @type {AbortSignal} */ signal) =>
      context.api.get(`/features/${encodeURIComponent(id)}/costs`, { time_range, environment }, signal);
    super({
      title: "Cost by model",
      kind: "costs",
      empty: "No call with a model in this time.",
      aside: over,
      load: async (environment, signal) => {
        const time = range();
        const answer = await ask(time, environment, signal);
        setText(over, `Last ${TIMES.find(([name]) => name === time)?.[1]}`);
        const day = answer.budget_usd_per_day === undefined || time === "24h" ? answer : await ask("24h", environment, signal);
        return { models: answer.by_model, day };
      },
      draw: shown,
      every: 30_000,
    });
  }
}

/** @param {{models: {model: string, cost_usd: number, estimated_usd: number, tokens: Record<string, number>, unpriced_requests: number}[], day: any}} answer */
function shown({ models, day }) {
  const budget = budgetLine(day);
  if (models.length === 0) return budget;
  const most = Math.max(...models.map(({ cost_usd: cost }) => cost), 0);
  const total = models.reduce((sum, { cost_usd: cost }) => sum + cost, 0);
  const table = h(
    "table",
    { class: "table" },
    h("thead", {}, h("tr", {}, ...["Model", "Tokens in", "out", "Cost"].map((name, index) => h("th", { scope: "col", class: index > 0 && "number" }, name)))),
    h("tbody", {}, ...models.map((model) => row(model, most))),
    models.length > 1 && h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "Together"), h("td"), h("td"), h("td", { class: "number" }, asText(usd(total))))),
  );
  return h("div", {}, table, budget);
}

/** @param {any} model @param {number} most the dearest model's cost */
function row({ model, cost_usd: cost, estimated_usd: estimated, tokens, unpriced_requests: unpriced }, most) {
  const bar = h("span", { class: "share" });
  bar.style.setProperty("--share", most > 0 ? String(cost / most) : "0");
  const note = unpriced > 0 ? `${count(unpriced).value} calls without a known price` : estimated > 0 && estimated >= cost * 0.999 ? "estimated" : estimated > 0 ? `${asText(usd(estimated))} estimated` : "reported";
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("span", { class: "model" }, model), h("span", { class: "model-note" }, note), bar),
    h("td", { class: "number" }, count(tokens.input ?? 0).value),
    h("td", { class: "number" }, count(tokens.output ?? 0).value),
    h("td", { class: "number" }, unpriced > 0 && cost === 0 ? "—" : asText(usd(cost))),
  );
}
