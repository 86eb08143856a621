// The console's pages, by the name that an address gives them. One entry adds one, with its place in the navigation.

import { Later } from "./later.js";
import { Overview } from "./overview.js";

/**
 * @typedef {object} Page
 * @property {HTMLElement} element
 * @property {() => void} close
 * @property {() => void} [draw]         the features could not be loaded: say so
 * @property {() => void} [refresh]      read again what a break may have hidden
 * @property {() => void} [focusSearch]  "/" was pressed
 *
 * @typedef {object} PageKind
 * @property {import("./route.js").Route["page"]} name
 * @property {string} title  what the window is called; the page of a feature names it
 * @property {string} nav    its name in the navigation, "" where it has no place there
 * @property {(context: import("./main.js").Context, route: import("./route.js").Route) => Page} make
 */

/** @type {PageKind[]} */
export const PAGES = [
  { name: "overview", title: "", nav: "Overview", make: (context) => new Overview(context) },
  { name: "alerts", title: "Alerts", nav: "Alerts", make: (context) => new Later(() => import("./alerts-page.js"), ({ AlertsPage }) => new AlertsPage(context)) },
  { name: "channels", title: "Channels", nav: "Channels", make: (context) => new Later(() => import("./channels-page.js"), ({ ChannelsPage }) => new ChannelsPage(context)) },
  { name: "feature", title: "", nav: "", make: (context, { feature }) => new Later(() => import("./feature.js"), ({ FeaturePage }) => new FeaturePage(context, feature)) },
  { name: "settings", title: "Settings", nav: "", make: (context, { feature }) => new Later(() => import("./settings.js"), ({ SettingsPage }) => new SettingsPage(context, feature)) },
];

/** @param {string} name @returns {PageKind} the overview where there is no such page */
export function pageNamed(name) {
  return PAGES.find((page) => page.name === name) ?? PAGES[0];
}
