// Where a text holds what was searched for. Pure.

/**
 * Cut a text into parts that match (case-insensitively) and parts that do not.
 * @param {string} text @param {string} search
 * @returns {{text: string, hit: boolean}[]}
 */
export function segments(text, search) {
  if (search === "") return [{ text, hit: false }];
  // A regular expression, because lower-casing can change a text's length ("İ") and so shift every place after it.
  const pattern = new RegExp(search.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  const found = [];
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > last) found.push({ text: text.slice(last, match.index), hit: false });
    found.push({ text: match[0], hit: true });
    last = match.index + match[0].length;
  }
  if (last < text.length || found.length === 0) found.push({ text: text.slice(last), hit: false });
  return found;
}
