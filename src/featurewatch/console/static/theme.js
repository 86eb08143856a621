// Light or dark: the system's choice, until the reader makes another.

import { setAttribute } from "./kit/dom.js";
import { icon } from "./kit/icons.js";

const KEY = "featurewatch.theme";

/** @param {HTMLButtonElement} button the toggle */
export function setUpTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const theme = stored() ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.replaceChildren(icon(other === "dark" ? "moon" : "sun"));
    setAttribute(button, "aria-label", `Use the ${other} theme`);
    setAttribute(button, "title", `Use the ${other} theme`);
  };
  button.addEventListener("click", () => {
    const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    // Back at the system's own choice, the console follows the system again.
    store(other === (system.matches ? "dark" : "light") ? null : other);
    show();
  });
  system.addEventListener("change", show);
  show();
}

/** @returns {string|null} */
function stored() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return memory;
  }
}

/** @type {string|null} the choice where storage is closed */
let memory = null;

/** @param {string|null} theme */
function store(theme) {
  memory = theme;
  try {
    if (theme === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Kept in memory alone.
  }
}
