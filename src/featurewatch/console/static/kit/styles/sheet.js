// Style sheets made by script: a strict Content-Security-Policy allows them where it allows no inline style.

/** @type {Map<string, CSSStyleSheet>} */
const made = new Map();

/** @param {string} css @returns {CSSStyleSheet} one for all who ask for the same text */
export function sheet(css) {
  let found = made.get(css);
  if (found === undefined) {
    found = new CSSStyleSheet();
    found.replaceSync(css);
    made.set(css, found);
  }
  return found;
}
