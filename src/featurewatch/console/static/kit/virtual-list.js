// A list that draws only the rows in sight, follows its end, and keeps its place when rows come before.

import { h } from "./dom.js";
import { oncePerFrame } from "./frame.js";
import { offsetOf, totalHeight, visibleRange } from "./virtual-window.js";

/** @typedef {{id: string}} Keyed */

export class VirtualList {
  /**
   * @param {{label: string, render: (row: any, open: boolean, index: number) => HTMLElement, onNearTop: () => void, onNearEnd: () => void, onFollow: (following: boolean) => void}} options
   */
  constructor({ label, render, onNearTop, onNearEnd, onFollow }) {
    this.render = render;
    this.onNearTop = onNearTop;
    this.onNearEnd = onNearEnd;
    this.onFollow = onFollow;
    /** @type {Keyed[]} */
    this.rows = [];
    this.row = 26;
    /** Pixels in sight, as they were measured last: asked for at each frame, they would have to be laid out first. */
    this.height = 0;
    this.stretched = -1;
    this.following = true;
    this.lastTop = 0;
    /** @type {Map<string, {index: number, extra: number}>} rows that are open; the place is kept, not searched */
    this.open = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.drawn = new Map();
    this.space = h("div", { class: "vlist-space", role: "list", "aria-label": label });
    this.element = h("div", { class: "vlist", tabindex: "0", role: "group", part: "lines", "aria-label": label }, this.space);
    this.draw = oncePerFrame(() => this.#draw());
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.element.addEventListener("wheel", ({ deltaY }) => this.#turned(deltaY), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(this.element);
  }

  /** Whether there is more than fits. */
  get overflows() {
    return this.#total() > this.height;
  }

  /** Show other rows from the start. @param {Keyed[]} rows */
  reset(rows) {
    this.rows = rows;
    this.open.clear();
    this.#forget();
    this.follow();
  }

  /**
   * Show the same rows with some more or fewer.
   * @param {Keyed[]} rows
   * @param {{before?: number, at?: number}} [change] before: how many came before the row that stood at `at`
   *     (the first, if left out), negative: how many of the first ones went
   */
  update(rows, { before = 0, at = 0 } = {}) {
    const above = at === 0 || offsetOf(at, this.row, this.#extras()) < this.element.scrollTop;
    this.rows = rows;
    if (before !== 0) {
      let moved = above ? before * this.row : 0;
      for (const [id, place] of this.open) {
        if (place.index < at) continue;
        place.index += before;
        if (place.index >= 0) continue;
        this.open.delete(id);
        moved -= place.extra;
      }
      if (!this.following) {
        this.#stretch();
        this.lastTop = Math.max(0, this.element.scrollTop + moved);
        this.element.scrollTop = this.lastTop;
      }
    }
    this.draw();
  }

  /** Go to the end and stay there. */
  follow() {
    this.#setFollowing(true);
    this.draw();
  }

  /** Show a row in the middle, and stay there. @param {number} index */
  show(index) {
    this.#setFollowing(false);
    this.#stretch();
    const top = offsetOf(index, this.row, this.#extras()) - (this.element.clientHeight - this.row) / 2;
    this.lastTop = Math.max(0, top);
    this.element.scrollTop = this.lastTop;
    this.draw();
  }

  /** Open or close a row. @param {string} id @param {number} index */
  toggle(id, index) {
    const opens = !this.open.delete(id);
    if (opens) {
      this.open.set(id, { index, extra: 0 });
      // Lines that arrive must not carry away what is being read.
      this.#setFollowing(false);
    }
    this.drawn.get(id)?.remove();
    this.drawn.delete(id);
    this.#draw();
    if (opens) this.#reveal(id, index);
    /** @type {HTMLElement|null|undefined} */ (this.drawn.get(id)?.querySelector("button"))?.focus({ preventScroll: true });
  }

  /** Scroll as far as an opened row needs, its head staying in sight. @param {string} id @param {number} index */
  #reveal(id, index) {
    const top = offsetOf(index, this.row, this.#extras());
    const { scrollTop, clientHeight } = this.element;
    const missing = top + this.row + (this.open.get(id)?.extra ?? 0) - scrollTop - clientHeight;
    if (missing <= 0) return;
    this.lastTop = Math.min(top, scrollTop + missing);
    this.element.scrollTop = this.lastTop;
    this.#draw();
  }

  /** Draw every row in sight anew. */
  redraw() {
    this.#forget();
    this.draw();
  }

  #forget() {
    for (const [id, element] of this.drawn) this.#remove(id, element);
  }

  /** Whoever was in a row goes on with the list. @param {string} id @param {HTMLElement} element */
  #remove(id, element) {
    const held = element.matches(":focus-within");
    element.remove();
    this.drawn.delete(id);
    if (held) this.element.focus({ preventScroll: true });
  }

  /** @returns {import("./virtual-window.js").Extras} */
  #extras() {
    return [...this.open.values()].map(({ index, extra }) => /** @type {[number, number]} */ ([index, extra])).sort((one, other) => one[0] - other[0]);
  }

  #total() {
    return totalHeight(this.rows.length, this.row, this.#extras());
  }

  #stretch() {
    const total = this.#total();
    if (total === this.stretched) return;
    this.stretched = total;
    this.space.style.setProperty("height", `${total}px`);
  }

  #draw() {
    if (this.height === 0) return;
    // What is read comes before what is written: the other way round each read lays everything out.
    let top = this.following ? 0 : this.element.scrollTop;
    this.#stretch();
    const total = this.#total();
    if (this.following) {
      top = Math.max(0, total - this.height);
      this.element.scrollTop = top;
      this.lastTop = top;
    }
    const extras = this.#extras();
    const { first, end } = visibleRange({ top, height: this.height, count: this.rows.length, row: this.row, extras });
    const wanted = new Map();
    for (let index = first; index < end; index += 1) wanted.set(this.rows[index].id, index);
    for (const [id, element] of this.drawn) {
      if (!wanted.has(id)) this.#remove(id, element);
    }
    let next = this.space.firstElementChild;
    let resized = false;
    for (const [id, index] of wanted) {
      let element = this.drawn.get(id);
      if (element === undefined) {
        element = this.render(this.rows[index], this.open.has(id), index);
        this.drawn.set(id, element);
      }
      if (element !== next) this.space.insertBefore(element, next);
      else next = next.nextElementSibling;
      element.style.setProperty("transform", `translateY(${offsetOf(index, this.row, extras)}px)`);
      element.setAttribute("aria-posinset", String(index + 1));
      element.setAttribute("aria-setsize", String(this.rows.length));
      element.classList.toggle("is-odd", index % 2 === 1);
      const place = this.open.get(id);
      const extra = place ? element.offsetHeight - this.row : 0;
      if (place && extra !== place.extra) {
        place.extra = extra;
        resized = true;
      }
    }
    if (resized) {
      this.#draw();
      return;
    }
    if (this.rows.length === 0) return;
    if (top < this.row * 20) this.onNearTop();
    if (total - top - this.height < this.row * 20) this.onNearEnd();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const rest = scrollHeight - scrollTop - clientHeight;
    // Following ends with the first pixel that the reader goes up: waiting for more would fight a slow wheel. A list
    // that grew taller moves up as well, but stays at its end.
    if (scrollTop < this.lastTop - 1 && rest >= 1) this.#setFollowing(false);
    else if (rest < 4) this.#setFollowing(true);
    this.lastTop = scrollTop;
    this.draw();
  }

  /** A wheel is heard before the list moves: drawing its end in between would take the move back. @param {number} deltaY */
  #turned(deltaY) {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    if (scrollHeight <= clientHeight) return;
    if (deltaY < 0) this.#setFollowing(false);
    else if (scrollHeight - scrollTop - clientHeight < 4) this.#setFollowing(true);
  }

  /** @param {boolean} following */
  #setFollowing(following) {
    if (this.following === following) return;
    this.following = following;
    this.onFollow(following);
  }

  #measure() {
    this.height = this.element.clientHeight;
    const row = parseFloat(getComputedStyle(this.element).getPropertyValue("--log-row")) || 26;
    if (row !== this.row) {
      this.row = row;
      this.#forget();
    }
    this.draw();
  }
}
