// The address: what is shown, as a hash that can be shared. Pure, but for `Router`.

/**
 * @typedef {object} Route
 * @property {"overview"|"alerts"|"channels"|"feature"|"settings"} page
 * @property {string} feature      the page's feature, "" where the page is of none
 * @property {string} env          the environment chosen, "" for each feature's own
 * @property {string} q            the overview's filter
 * @property {string} health       the overview's health filter
 * @property {string} time         what is looked at: "" live, 1h, 6h, 24h, 7d, or "custom"
 * @property {string} start        ISO 8601, with time "custom"
 * @property {string} end
 * @property {string} alert        the alert whose details are open, "" for none
 * @property {string} logs         the feature whose log is open, "" where the drawer is closed
 * @property {string[]} levels     the log's levels, [] for all
 * @property {string} search       the log's search
 * @property {string} source       the log's source, "" for all
 * @property {string} logsEnv      the log's environment, "" for the console's
 * @property {string} line         the line around which the log is shown, "" for the newest
 * @property {string} range        the log's time range: "", 15m, 1h, 6h, 24h, 7d or "custom"
 * @property {string} from         ISO 8601, with range "custom"
 * @property {string} to
 * @property {boolean} live        whether the log follows
 */

/** @type {Route} */
export const START = {
  page: "overview", feature: "", env: "", q: "", health: "", time: "", start: "", end: "", alert: "", logs: "", levels: [], search: "", source: "", logsEnv: "", line: "", range: "", from: "", to: "", live: true,
};

const TEXTS = /** @type {const} */ (["env", "q", "health", "time", "start", "end", "alert", "logs", "search", "source", "logsEnv", "line", "range", "from", "to"]);

/** Pages whose path is their name. */
const PLAIN = /** @type {const} */ (["alerts", "channels"]);

/** @param {string} hash @returns {Route} */
export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?", 2);
  const match = /^\/feature\/([^/]+)(\/settings)?$/.exec(path);
  const params = new URLSearchParams(query);
  /** @type {Route} */
  const route = { ...START, levels: (params.get("levels") ?? "").split(",").filter(Boolean), live: params.get("live") !== "0" };
  for (const name of TEXTS) route[name] = params.get(name) ?? "";
  route.page = PLAIN.find((name) => path === `/${name}`) ?? "overview";
  if (match) {
    try {
      route.feature = decodeURIComponent(match[1]);
      route.page = match[2] ? "settings" : "feature";
    } catch {
      // A stray % in a typed address: the overview is the way out.
    }
  }
  return route;
}

/** @param {Route} route @returns {string} the hash, with what differs from the start alone */
export function formatRoute(route) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (route[name] !== "") params.set(name, route[name]);
  if (route.levels.length > 0) params.set("levels", route.levels.join(","));
  if (!route.live) params.set("live", "0");
  const query = params.toString().replaceAll("%2C", ",");
  return `#${pathOf(route)}${query === "" ? "" : `?${query}`}`;
}

/** @param {Route} route */
function pathOf({ page, feature }) {
  if (page === "overview") return "/";
  if (feature === "") return `/${page}`;
  return `/feature/${encodeURIComponent(feature)}${page === "settings" ? "/settings" : ""}`;
}

/** Holds the route, writes it into the address and tells who listens. */
export class Router {
  /** @param {Window} window */
  constructor(window) {
    this.window = window;
    this.route = parseRoute(window.location.hash);
    /** @type {Set<(route: Route, before: Route) => void>} */
    this.listeners = new Set();
    window.addEventListener("hashchange", () => this.#settle(parseRoute(window.location.hash)));
  }

  /** @param {(route: Route, before: Route) => void} listener @returns {() => void} its end */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Change a part of the route. Filters replace the address; `push` makes a step that Back undoes. @param {Partial<Route>} part @param {{push?: boolean}} [how] */
  update(part, { push = false } = {}) {
    const next = { ...this.route, ...part };
    const hash = formatRoute(next);
    if (hash === formatRoute(this.route)) return;
    this.window.history[push ? "pushState" : "replaceState"](null, "", hash);
    this.#settle(next);
  }

  /** Make the address of another page, filters of this one left behind, environment and time kept. @param {Partial<Route>} part */
  link(part) {
    const { env, time } = this.route;
    return formatRoute({ ...START, env, time: time === "custom" ? "" : time, ...part });
  }

  /** @param {Route} next */
  #settle(next) {
    const before = this.route;
    this.route = next;
    for (const listener of [...this.listeners]) listener(next, before);
  }
}
