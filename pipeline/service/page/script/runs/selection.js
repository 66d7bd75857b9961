// Chosen runs, over all pages, and what can be done with them together.

import { fill, foreign, h, plain } from "../element.js";
import { exportRuns } from "../exporting.js";
import { action } from "../parts.js";
import { compareAddress } from "../route.js";
import { FORMATS, counted } from "../wording.js";

export class Selection {
  constructor() {
    this.ids = new Set();
    this.boxes = new Map();
    this.all = null;
    this.bar = h("div.selection", { role: "region", "aria-label": "Selected runs", hidden: true });
  }

  /** Make the box of a run. */
  box(id) {
    const input = h("input", { type: "checkbox", checked: this.ids.has(id), "aria-label": `Select ${plain(id)}`, onchange: () => this.set([id], input.checked) });
    this.boxes.set(id, input);
    return input;
  }

  /** Make the box that selects all runs of a page; the boxes of another page are forgotten. */
  boxOfAll(ids) {
    this.boxes.clear();
    this.all = h("input", { type: "checkbox", checked: ids.length > 0 && ids.every((id) => this.ids.has(id)), "aria-label": "Select all runs of this page", onchange: () => this.set(ids, this.all.checked) });
    return this.all;
  }

  set(ids, isChosen) {
    for (const id of ids) {
      if (isChosen) this.ids.add(id);
      else this.ids.delete(id);
    }
    this.show();
  }

  show() {
    for (const [id, input] of this.boxes) input.checked = this.ids.has(id);
    if (this.all) this.all.checked = this.boxes.size > 0 && [...this.boxes.keys()].every((id) => this.ids.has(id));
    this.bar.hidden = this.ids.size === 0;
    const formats = Object.entries(FORMATS).map(([key, { title }]) => action(title, () => this.export([key]), { label: `Export ${counted(this.ids.size, "run")} as ${title}` }));
    fill(
      this.bar,
      h("b", { role: "status" }, `${counted(this.ids.size, "run")} selected`),
      action("Export in all formats", () => this.export(), { kind: "small.primary" }),
      ...formats,
      this.comparison(),
      action("Clear", () => this.set([...this.ids], false)),
    );
  }

  /** A link for two runs: the first chosen is the baseline. */
  comparison() {
    if (this.ids.size !== 2) return h("span.muted.small", {}, "Select two runs to compare them");
    const [baseline, comparison] = this.ids;
    return h("a.button.small", { href: compareAddress(baseline, comparison), title: `${plain(baseline)} is the baseline` }, "Compare ", foreign(baseline), " with ", foreign(comparison));
  }

  export(formats) {
    exportRuns([...this.ids], formats ? { formats } : {});
    this.set([...this.ids], false);
  }
}
