// <feature-metrics>: a feature's figures, live.

import { h, setText } from "./dom.js";
import { FeatureElement } from "./element.js";
import { tile } from "./figures.js";
import { FIGURES, clock } from "./format.js";
import { watchMetrics } from "./metrics.js";

const USUAL = ["error_rate", "response_time_p95", "requests_per_minute", "total_cost"];

export class FeatureMetrics extends FeatureElement {
  static observedAttributes = [...FeatureElement.own, "feature", "metrics", "auto-refresh"];
  static styles = `
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 12px; margin: 0; }
    .tile { padding: 12px 14px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); }
    .tile-label { overflow: hidden; color: var(--ink-3); font-size: 12.5px; text-overflow: ellipsis; white-space: nowrap; }
    .tile dd { margin-top: 2px; font-size: 20px; font-weight: 600; letter-spacing: -0.01em; }
    .figure-mark { align-self: center; margin-left: 4px; }
    .figure-mark .icon-healthy { color: var(--healthy); }
    .figure-mark .icon-warning { color: var(--warning); }
    .figure-mark .icon-error { color: var(--error); }
    .foot { display: flex; gap: 8px; margin-top: 8px; color: var(--ink-3); font-size: 12px; }
    .foot .failed { color: var(--error); }
  `;

  /** Ask again at once. */
  refresh = async () => {};

  /** @param {import("./client.js").LiveClient} client */
  joined(client) {
    const { feature } = this;
    this.refresh = async () => {};
    if (feature === "") return this.fill();
    const named = (this.getAttribute("metrics") ?? "").split(/[\s,]+/).filter((name) => name !== "");
    const asked = named.filter((name) => Object.hasOwn(FIGURES, name));
    const unknown = named.filter((name) => !asked.includes(name)).map((name) => `There is no figure '${name}'.`).join(" ");
    const tiles = (asked.length > 0 ? asked : USUAL).map((name) => ({ name, ...tile(name, {}) }));
    for (const { element } of tiles) element.setAttribute("part", "tile");
    const at = h("time", { part: "updated" });
    const failure = h("span", { class: "failed", part: "failure", role: "status" }, unknown);
    const list = h("dl", { class: "tiles", part: "tiles" }, ...tiles.map(({ element }) => element));
    this.fill(list, h("div", { class: "foot" }, at, failure));
    const { refresh, end } = watchMetrics(
      client,
      feature,
      ({ snapshot, at: measured, error, isLoading }) => {
        list.setAttribute("aria-busy", String(isLoading));
        setText(failure, error !== null ? error.message : snapshot?.stale ? "The store cannot be reached: last known figures" : unknown);
        if (snapshot === null || measured === null) return;
        for (const { name, show } of tiles) show(snapshot.metrics[name], snapshot.statuses?.[name]);
        at.setAttribute("datetime", snapshot.timestamp);
        setText(at, `Updated ${clock(measured)}`);
        this.tell("metrics", { feature, snapshot });
      },
      { live: this.getAttribute("auto-refresh") !== "false" },
    );
    this.refresh = refresh;
    this.until(end);
  }
}
