// Parts that are loaded when they are first looked at: the first view need not wait for forms.

import { h, setText } from "./kit/dom.js";

export class Later {
  /**
   * @param {() => Promise<any>} load imports the module @param {(module: any) => any} make makes its part
   * @param {string} [kind] the class of the place that it takes
   */
  constructor(load, make, kind = "later") {
    this.note = h("p", { class: "none", role: "status" }, "Loading…");
    this.element = h("div", { class: kind }, this.note);
    this.part = null;
    this.closed = false;
    load().then(
      (module) => {
        if (this.closed) return;
        this.part = make(module);
        if (this.environment !== undefined) this.part.show?.(this.environment);
        this.element.replaceChildren(this.part.element);
      },
      () => setText(this.note, "This part of the console could not be loaded. Reload the page."),
    );
  }

  /** @param {string} environment */
  show(environment) {
    this.environment = environment;
    this.part?.show?.(environment);
  }

  changed() {
    this.part?.changed?.();
  }

  close() {
    this.closed = true;
    this.part?.close?.();
  }

  refresh() {
    this.part?.refresh?.();
  }

  draw() {
    this.part?.draw?.();
  }

  focusSearch() {
    this.part?.focusSearch?.();
  }
}
