// Making and changing elements. Data only ever becomes text or an attribute, never markup.

export { oncePerFrame } from "./frame.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * @param {string} tag @param {Record<string, any>} [props] attributes; `class`, `dataset`, and `onclick` and the like are understood
 * @param {...(Child|Child[])} children @returns {HTMLElement & Record<string, any>}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  append(element, children);
  return element;
}

/** @param {string} tag @param {Record<string, any>} [props] @param {...(Child|Child[])} children @returns {SVGElement} */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  apply(element, props);
  append(element, children);
  return element;
}

/** @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} element @param {string} name @param {string|null} value null removes it */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {(...args: any[]) => void} run @param {number} wait ms */
export function debounce(run, wait) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  return (/** @type {any[]} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
}

/** Copy a text and say so on the button for a moment. @param {HTMLElement} button @param {string} text */
export async function copyFrom(button, text) {
  const said = button.dataset.said ?? button.textContent ?? "";
  button.dataset.said = said;
  setText(button, (await copied(button, text)) ? "Copied" : "Select and copy");
  setTimeout(() => setText(button, said), 1600);
}

/** @param {HTMLElement} near @param {string} text @returns {Promise<boolean>} whether it is in the clipboard */
async function copied(near, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context or a permission scripts may not write there; what is selected may be copied all the same.
  }
  const held = /** @type {ShadowRoot|Document} */ (near.getRootNode()).activeElement;
  const area = h("textarea", { readonly: true, tabindex: "-1", "aria-hidden": "true" }, text);
  Object.assign(area.style, { position: "fixed", opacity: "0" });
  near.after(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  /** @type {HTMLElement|null} */ (held)?.focus({ preventScroll: true });
  return done;
}

/** @param {Element} element @param {Record<string, any>} props */
function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(/** @type {HTMLElement} */ (element).dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Element} element @param {(Child|Child[])[]} children */
function append(element, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
}
