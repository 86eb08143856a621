// The way between the console's pages.

import { h, setAttribute } from "./kit/dom.js";
import { PAGES } from "./pages.js";

/** Pages that belong to another one's place. */
const WITHIN = { feature: "overview", settings: "overview" };

export class Navigation {
  /** @param {import("./route.js").Router} router */
  constructor(router) {
    this.router = router;
    this.links = PAGES.filter(({ nav }) => nav !== "").map(({ name, nav }) => ({ name, link: h("a", {}, nav) }));
    this.element = h("nav", { class: "nav", id: "nav", "aria-label": "Pages" }, ...this.links.map(({ link }) => link));
    router.subscribe(() => this.#draw());
    this.#draw();
  }

  #draw() {
    const { page } = this.router.route;
    for (const { name, link } of this.links) {
      setAttribute(link, "href", this.router.link({ page: name }));
      setAttribute(link, "aria-current", name === page ? "page" : name === WITHIN[page] ? "true" : null);
    }
  }
}
