// Other people's text, made safe to look at: what would colour, hide or reorder it becomes visible. Pure.

/** ANSI escape sequences (ECMA-48): CSI, OSC and the short ones. */
const ANSI = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;
/** Marks that reorder text (Unicode UAX 9), and ones that show nothing; not the joiners within an emoji, or a word of a script that needs them. */
const HIDDEN = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]|(?<![^\x00-\x7f\u200b-\u200f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200b-\u200f])/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;
const SUSPECT = /[\x00-\x08\x0b-\x1f\x7f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;

/** @param {string} text @returns {string} without colours, with controls as their pictures (␀), with marks by their names */
export function plain(text) {
  if (!SUSPECT.test(text)) return text;
  return text
    .replace(ANSI, "")
    .replace(/\r\n/g, "\n")
    .replace(CONTROL, (control) => String.fromCharCode(control === "\x7f" ? 0x2421 : 0x2400 + control.charCodeAt(0)))
    .replace(HIDDEN, (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}
