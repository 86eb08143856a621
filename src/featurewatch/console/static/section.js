// A part of the feature page that asks the bridge for something: loading, shown, empty or failed, and asked again.

import { debounce, h, setText } from "./kit/dom.js";

/** @template T */
export class Section {
  /**
   * @param {{title: string, kind: string, empty: string, aside?: HTMLElement, load: (environment: string, signal: AbortSignal) => Promise<T>, draw: (answer: T) => HTMLElement|null, every?: number, bare?: boolean}} options
   *     draw: null where there is nothing to show; every: ms between two looks, 0 for none;
   *     bare: without a frame and a heading of its own, where it stands in another section
   */
  constructor({ title, kind, empty, aside, load, draw, every = 0, bare = false }) {
    this.load = load;
    this.drawAnswer = draw;
    this.empty = empty;
    this.environment = "";
    this.aborter = new AbortController();
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.body = h("div", { class: "section-body" }, this.note);
    this.element = bare
      ? h("div", { class: `section section-${kind}` }, this.body)
      : h("section", { class: `section panel section-${kind}`, "aria-label": title }, h("header", { class: "section-head" }, h("h2", {}, title), aside), this.body);
    this.changed = debounce(() => void this.refresh(), 300);
    if (every > 0) this.timer = setInterval(() => !document.hidden && void this.refresh(), every);
  }

  close() {
    clearInterval(this.timer);
    this.aborter.abort();
    this.closed = true;
  }

  /** @param {string} environment */
  show(environment) {
    this.environment = environment;
    void this.refresh();
  }

  async refresh() {
    if (this.closed) return;
    this.aborter.abort();
    const aborter = new AbortController();
    this.aborter = aborter;
    try {
      const answer = await this.load(this.environment, aborter.signal);
      if (aborter.signal.aborted) return;
      const drawn = this.drawAnswer(answer);
      setText(this.note, this.empty);
      this.body.replaceChildren(drawn ?? this.note);
    } catch (error) {
      if (aborter.signal.aborted) return;
      setText(this.note, /** @type {Error} */ (error).message);
      // What was last known stays: an answer that fails once is no reason to empty the page.
      if (this.body.firstChild === this.note || this.body.childElementCount === 0) this.body.replaceChildren(this.note);
    }
  }
}
