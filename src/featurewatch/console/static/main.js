// Puts the console together: what it talks to, what it shows, what the address says.

import { countAlerts } from "./alerts-count.js";
import { followAlert } from "./alerts-sheet.js";
import { Caller } from "./caller.js";
import { readConfig } from "./config.js";
import { Lane } from "./history.js";
import { Navigation } from "./nav.js";
import { Outage } from "./outage.js";
import { pageNamed } from "./pages.js";
import { Router } from "./route.js";
import { SignIn } from "./sign-in.js";
import { Store } from "./store.js";
import { setUpTheme } from "./theme.js";
import { zone } from "./times.js";
import { Toasts } from "./toasts.js";
import { Api } from "./kit/api.js";
import { connectionBadge } from "./kit/badge.js";
import { LiveClient } from "./kit/client.js";
import { debounce, h } from "./kit/dom.js";
import { span } from "./kit/format.js";

/**
 * @typedef {object} Context what every part of the console is handed
 * @property {import("./config.js").Config} config
 * @property {Api} api @property {LiveClient} client @property {Store} store @property {Router} router
 * @property {Caller} caller        who looks, and what they may do
 * @property {Lane} lane            how many histories are asked for at a time
 * @property {string} window        what a snapshot's figures cover, in words
 * @property {() => string} failure why the features could not be loaded, "" where they were
 * @property {(featureId: string, filters?: Partial<import("./kit/log-query.js").Filters>) => void} openLogs
 */

const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

const config = readConfig(find('meta[name="featurewatch"]').getAttribute("content") ?? "");
const api = new Api({ prefix: config.prefix, onUnauthenticated: () => signIn.ask() });
const caller = new Caller(api);
const store = new Store();
const router = new Router(window);
const client = new LiveClient({ api });
client.follow("*");
const signIn = new SignIn({ api, caller, signedIn: () => resume() });
let failure = "";

/** @type {Context} */
const context = {
  config,
  api,
  client,
  store,
  router,
  caller,
  lane: new Lane(4),
  window: span(config.window),
  failure: () => failure,
  openLogs: (featureId, filters) => void logs().then((drawer) => drawer.open(featureId, filters)),
};

/** @type {Promise<import("./logs.js").LogDrawer>|undefined} */
let drawer;

/** Give the log's drawer, loaded when it is first opened. */
function logs() {
  drawer ??= import("./logs.js").then(({ LogDrawer }) => {
    const made = new LogDrawer(context);
    document.body.append(made.element);
    return made;
  });
  return drawer;
}

/** @type {import("./pages.js").Page} */
let page;
const outage = new Outage({ client, failure: () => failure, retry: () => {
  client.retry();
  void loadFeatures();
} });

/** Between two tries to load the features, ms. */
const AGAIN = 5_000;
let again = 0;

const loadFeatures = async () => {
  clearTimeout(again);
  try {
    const { features } = await api.get("/features", { environment: router.route.env });
    failure = "";
    store.setFeatures(features);
  } catch (error) {
    const { status, message } = /** @type {import("./kit/api.js").ApiError} */ (error);
    // Not signed in is no failure: the box that asks for the token says what to do.
    failure = status === 401 ? "" : message;
    page.draw?.();
    if (failure !== "") again = window.setTimeout(loadFeatures, AGAIN);
  }
  outage.draw();
};
const loadFeaturesSoon = debounce(loadFeatures, 500);

/** Show the page that the address names. */
function showPage() {
  const { route } = router;
  page?.close();
  const { title, make } = pageNamed(route.page);
  document.title = title === "" ? "featurewatch" : `${title} · featurewatch`;
  page = make(context, route);
  find("#page").replaceChildren(page.element);
}

/** Connect and load, at first and after signing in. */
function start() {
  client.start(router.route.env);
  void loadFeatures();
  void caller.load();
}

/** Go on after signing in: what was refused before is asked for again. */
function resume() {
  showPage();
  start();
}

/** Offer the environments that were seen. */
function drawEnvironments() {
  const select = /** @type {HTMLSelectElement} */ (find("#environment"));
  const names = [...new Set([...store.environments(), router.route.env])].filter(Boolean).sort();
  const options = [["", "Automatic"], ...names.map((name) => [name, name])];
  if (select.options.length !== options.length || options.some(([value], index) => select.options[index].value !== value)) {
    select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  }
  select.value = router.route.env;
  find("#environment-label").hidden = names.length < 2 && router.route.env === "";
}

setUpTheme(/** @type {HTMLButtonElement} */ (find("#theme")));
const navigation = new Navigation(router);
find("#nav").replaceWith(navigation.element);
countAlerts(context, navigation.links.find(({ name }) => name === "alerts")?.link);
find("#badge").replaceWith(connectionBadge(client).badge);
find(".top").after(outage.element);
find("#session").replaceWith(signIn.badge);
find("#zone").textContent = `Times: ${zone(new Date())}`;
document.body.append(new Toasts(context).element);
followAlert(context);
find("#environment").addEventListener("change", (event) => router.update({ env: /** @type {HTMLSelectElement} */ (event.target).value }, { push: true }));
find(".brand").addEventListener("click", (event) => {
  event.preventDefault();
  router.update({ page: "overview", feature: "", q: "", health: "" }, { push: true });
});

find(".skip").addEventListener("click", (event) => {
  // The hash is the console's address: a jump to an anchor would leave the page.
  event.preventDefault();
  find("#page").focus();
});

store.subscribe(drawEnvironments);
drawEnvironments();
router.subscribe((route, before) => {
  if (route.logs !== "") void logs();
  if (route.env !== before.env) {
    store.forgetSnapshots();
    client.start(route.env);
    void loadFeatures();
    drawEnvironments();
  }
  if (route.page !== before.page || route.feature !== before.feature) {
    showPage();
    window.scrollTo(0, 0);
    // Whoever listens or uses the keyboard goes on at the new page, not at a link that is gone.
    find("#page").focus({ preventScroll: true });
  }
});

client.subscribe("metrics_update", ({ data }) => {
  const loaded = store.loaded;
  if (!store.applySnapshot(data) && loaded) loadFeaturesSoon();
});
let connectedBefore = false;
client.subscribe("state", (state) => {
  if (state === "signed-out") signIn.ask();
  if (!state.startsWith("live")) return;
  // After a break what happened meanwhile is read again; the log resumes by itself.
  if (connectedBefore || failure !== "") {
    void loadFeatures();
    page.refresh?.();
  }
  connectedBefore = true;
});
document.addEventListener("keydown", (event) => {
  const typing = /** @type {HTMLElement} */ (event.target).closest?.("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (router.route.logs !== "") void logs().then((opened) => opened.focusSearch());
  else page.focusSearch?.();
});

showPage();
start();
if (router.route.logs !== "") void logs();
