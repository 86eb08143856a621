// Whether anybody looks: a page that has been hidden for long lets its connection go, and resumes when it is seen.

export class Visibility {
  /** @param {{hiddenAfter: number, hide: () => void, show: () => void}} parts hiddenAfter: ms, 0 for never */
  constructor({ hiddenAfter, hide, show }) {
    this.hiddenAfter = hiddenAfter;
    this.hide = hide;
    this.show = show;
    this.heed = () => this.#heed();
    this.back = () => this.show();
  }

  start() {
    this.stop();
    globalThis.document?.addEventListener("visibilitychange", this.heed);
    globalThis.window?.addEventListener("online", this.back);
  }

  stop() {
    clearTimeout(this.timer);
    globalThis.document?.removeEventListener("visibilitychange", this.heed);
    globalThis.window?.removeEventListener("online", this.back);
  }

  #heed() {
    clearTimeout(this.timer);
    if (!document.hidden) this.show();
    else if (this.hiddenAfter > 0) this.timer = setTimeout(() => this.hide(), this.hiddenAfter);
  }
}
