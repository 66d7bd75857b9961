// Chosen rows of a table, over all of its pages, and the bar of what can be done with them.

import { fill, foreign, h, plain } from "./element.js";
import { action } from "./parts.js";
import { compareAddress } from "./route.js";
import { counted } from "./wording.js";

export class Selection {
  /** @param {string} one What a row is, in the singular. */
  constructor(one) {
    this.one = one;
    this.ids = new Set();
    this.boxes = new Map();
    this.all = null;
    this.bar = h("div.selection", { role: "region", "aria-label": `Selected ${one}s`, hidden: true });
  }

  /** Make the box of a row. */
  box(id) {
    const input = h("input", { type: "checkbox", checked: this.ids.has(id), "aria-label": `Select ${plain(id)}`, onchange: () => this.set([id], input.checked) });
    this.boxes.set(id, input);
    return input;
  }

  /** Make the box that selects all rows of a page; the boxes of another page are forgotten. */
  boxOfAll(ids) {
    this.boxes.clear();
    this.all = h("input", { type: "checkbox", checked: ids.length > 0 && ids.every((id) => this.ids.has(id)), "aria-label": `Select all ${this.one}s of this page`, onchange: () => this.set(ids, this.all.checked) });
    return this.all;
  }

  set(ids, isChosen) {
    for (const id of ids) {
      if (isChosen) this.ids.add(id);
      else this.ids.delete(id);
    }
    this.show();
  }

  clear() {
    this.set([...this.ids], false);
  }

  show() {
    for (const [id, input] of this.boxes) input.checked = this.ids.has(id);
    if (this.all) this.all.checked = this.boxes.size > 0 && [...this.boxes.keys()].every((id) => this.ids.has(id));
    this.bar.hidden = this.ids.size === 0;
    fill(
      this.bar,
      h("b", { role: "status" }, `${counted(this.ids.size, this.one)} selected`),
      ...this.actions(),
      action("Clear", () => this.clear()),
    );
  }

  /** Return the buttons of the bar. */
  actions() {
    return [];
  }

  /** Make the link that compares two rows: the first chosen is the baseline. */
  compareLink([baseline, comparison]) {
    return h("a.button.small", { href: compareAddress(baseline, comparison), title: `${plain(baseline)} is the baseline` }, "Compare ", foreign(baseline), " with ", foreign(comparison));
  }
}
