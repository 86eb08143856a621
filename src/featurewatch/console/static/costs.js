// What a feature cost, by model.

import { h } from "./kit/dom.js";
import { asText, count, usd } from "./kit/format.js";
import { Section } from "./section.js";

const RANGES = [["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"]];

/** @extends {Section<any>} */
export class Costs extends Section {
  /** @param {import("./main.js").Context} context @param {string} id */
  constructor(context, id) {
    const buttons = RANGES.map(([range, text]) => h("button", { class: "segment", type: "button", "aria-pressed": String(range === "1h"), onclick: () => this.choose(range) }, text));
    super({
      title: "Cost by model",
      kind: "costs",
      empty: "No call with a model in this time.",
      aside: h("div", { class: "segments", role: "group", "aria-label": "Time range" }, ...buttons),
      load: (environment, signal) => context.api.get(`/features/${encodeURIComponent(id)}/costs`, { time_range: this.range, environment }, signal),
      draw: shown,
      every: 30_000,
    });
    this.buttons = buttons;
    this.range = "1h";
  }

  /** @param {string} range */
  choose(range) {
    this.range = range;
    this.buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(RANGES[index][0] === range)));
    void this.refresh();
  }
}

/** @param {{budget_usd_per_day?: number, by_model: {model: string, cost_usd: number, estimated_usd: number, tokens: Record<string, number>, unpriced_requests: number}[]}} answer */
function shown({ by_model: models, budget_usd_per_day: budget }) {
  if (models.length === 0) return null;
  const most = Math.max(...models.map(({ cost_usd: cost }) => cost), 0);
  const total = models.reduce((sum, { cost_usd: cost }) => sum + cost, 0);
  const table = h(
    "table",
    { class: "table" },
    h("thead", {}, h("tr", {}, ...["Model", "Tokens in", "out", "Cost"].map((name, index) => h("th", { scope: "col", class: index > 0 && "number" }, name)))),
    h("tbody", {}, ...models.map((model) => row(model, most))),
    models.length > 1 && h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "Together"), h("td"), h("td"), h("td", { class: "number" }, asText(usd(total))))),
  );
  return h("div", {}, table, budget !== undefined && h("p", { class: "budget" }, `Budget: ${asText(usd(budget))} a day`));
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
