// The console's log drawer: what <feature-logs> shows, as the address says.

import { NO_FILTERS } from "./kit/log-query.js";
import { formatRoute, START } from "./route.js";
import { nameOf } from "./store.js";

const NAME = "feature-logs";

export class LogDrawer {
  /** @param {import("./main.js").Context} context */
  constructor(context) {
    this.context = context;
    this.element = /** @type {import("./kit/feature-logs.js").FeatureLogs} */ (document.createElement(NAME));
    for (const [name, value] of [["drawer", ""], ["button", "none"], ["theme", "page"]]) this.element.setAttribute(name, value);
    this.element.client = context.client;
    this.element.permalink = ({ featureId, line }) => `${location.origin}${location.pathname}${formatRoute({ ...START, logs: featureId, line })}`;
    this.element.addEventListener("viewchange", (event) => this.#change(/** @type {CustomEvent} */ (event)));
    this.element.addEventListener("logsclose", () => this.#closed());
    /** @type {Promise<void>|null} the element's code, fetched when a log is first opened */
    this.defined = null;
    context.store.subscribe(() => this.#offer());
    context.router.subscribe(() => void this.#settle());
    this.#offer();
    void this.#settle();
  }

  get isOpen() {
    return this.context.router.route.logs !== "";
  }

  /** Open a feature's log; the one that was last shown comes back as it was. @param {string} featureId @param {Partial<import("./kit/log-query.js").Filters>} [filters] */
  open(featureId, filters) {
    const { featureId: last = "", filters: kept = NO_FILTERS } = this.element.view ?? {};
    this.context.router.update({ logs: featureId, line: "", ...(featureId === last ? kept : NO_FILTERS), ...filters }, { push: true });
  }

  focusSearch() {
    this.element.focusSearch?.();
  }

  /** The reader chose otherwise: the address says it, and what it says is shown. @param {CustomEvent} event */
  #change(event) {
    event.preventDefault();
    const { featureId, environment, ...filters } = event.detail;
    const { router } = this.context;
    const part = { ...filters, ...("line" in filters ? {} : { line: "" }) };
    if (featureId !== undefined) router.update({ ...NO_FILTERS, logs: featureId, logsEnv: "", line: "" });
    else router.update({ ...part, ...(environment === undefined ? {} : { logsEnv: environment }) }, { push: "line" in filters });
  }

  #closed() {
    if (this.isOpen) this.context.router.update({ logs: "", logsEnv: "", line: "", ...NO_FILTERS }, { push: true });
  }

  /** Show what the address says. */
  async #settle() {
    if (!this.isOpen) {
      this.element.close?.();
      return;
    }
    this.defined ??= define();
    await this.defined;
    const { route } = this.context.router;
    if (!this.isOpen) return;
    const { levels, source, search, range, from, to, live } = route;
    this.element.view = {
      featureId: route.logs,
      environment: route.logsEnv || route.env,
      filters: { levels, source, search, range, from, to, live },
      line: route.line,
    };
    this.element.open();
  }

  #offer() {
    const features = [...this.context.store.features.values()].map((feature) => ({ id: feature.id, name: nameOf(feature) }));
    features.sort((one, other) => one.name.localeCompare(other.name));
    this.element.features = features;
  }
}

async function define() {
  const { FeatureLogs } = await import("./kit/feature-logs.js");
  if (!customElements.get(NAME)) customElements.define(NAME, FeatureLogs);
}
