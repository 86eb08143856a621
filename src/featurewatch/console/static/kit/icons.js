// The console's own icons: 16 × 16, drawn with a 1.5 stroke in the colour of the text around them.

import { svg } from "./dom.js";

/** @type {Record<string, string[]>} */
const PATHS = {
  healthy: ["M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5z", "M5.25 8.2l1.9 1.9l3.6-4"],
  warning: ["M8 2.1l6.4 11.4H1.6z", "M8 6.4v3.3", "M8 11.6v.1"],
  error: ["M5.4 1.75h5.2l3.65 3.65v5.2l-3.65 3.65H5.4l-3.65-3.65V5.4z", "M8 4.8v3.7", "M8 10.9v.1"],
  unknown: ["M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5z", "M6.3 6.4c0-2.3 3.5-2.2 3.5 0c0 1.4-1.8 1.5-1.8 2.8", "M8 11.4v.1"],
  logs: ["M2 3.5h12", "M2 6.5h8.5", "M2 9.5h12", "M2 12.5h6"],
  sun: ["M8 5.25a2.75 2.75 0 1 0 0 5.5a2.75 2.75 0 0 0 0-5.5z", "M8 1v1.5", "M8 13.5V15", "M1 8h1.5", "M13.5 8H15", "M3.05 3.05l1.06 1.06", "M11.9 11.9l1.05 1.05", "M3.05 12.95l1.06-1.06", "M11.9 4.1l1.05-1.05"],
  moon: ["M13.5 9.6A5.75 5.75 0 0 1 6.4 2.5a5.75 5.75 0 1 0 7.1 7.1z"],
  close: ["M3.5 3.5l9 9", "M12.5 3.5l-9 9"],
  search: ["M7 2.25a4.75 4.75 0 1 0 0 9.5a4.75 4.75 0 0 0 0-9.5z", "M10.5 10.5l3.5 3.5"],
  chevron: ["M6 3.5L10.5 8L6 12.5"],
  back: ["M7 3L2.5 8L7 13", "M2.5 8h11"],
  down: ["M8 2.5v10.5", "M3.5 8.8L8 13.2l4.5-4.4"],
  download: ["M8 2v8", "M4.5 7L8 10.3L11.5 7", "M2.5 13.5h11"],
  external: ["M9.5 2.5h4v4", "M13.5 2.5L7.5 8.5", "M11.5 9.5v4h-9v-9h4"],
  test: ["M6 1.75h4", "M6.75 1.75v4.5L2.9 12.6a1.1 1.1 0 0 0 1 1.65h8.2a1.1 1.1 0 0 0 1-1.65L9.25 6.25v-4.5", "M4.8 10h6.4"],
  change: ["M2.5 5.5h9.5", "M9.5 2.75L12.25 5.5L9.5 8.25", "M13.5 10.5H4", "M6.5 7.75L3.75 10.5l2.75 2.75"],
  bell: ["M3 11.5h10l-1.3-2V6.8a3.7 3.7 0 0 0-7.4 0v2.7z", "M6.6 13.6c.5.9 2.3.9 2.8 0"],
  settings: ["M2 4.5h6.5", "M12.5 4.5H14", "M8.5 4.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0", "M2 11.5h1.5", "M7.5 11.5H14", "M3.5 11.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0"],
  lock: ["M3.5 7h9v7h-9z", "M5.25 7V4.9a2.75 2.75 0 0 1 5.5 0V7"],
};

/** @param {string} name @param {string} [label] read aloud; without one the icon is decoration */
export function icon(name, label) {
  const paths = PATHS[name].map((d) => svg("path", { d }));
  const common = { class: `icon icon-${name}`, viewBox: "0 0 16 16", width: 16, height: 16 };
  return label === undefined
    ? svg("svg", { ...common, "aria-hidden": "true" }, ...paths)
    : svg("svg", { ...common, role: "img", "aria-label": label }, ...paths);
}
