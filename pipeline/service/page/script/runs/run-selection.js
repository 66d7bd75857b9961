// Chosen runs, and what can be done with them together.

import { foreign, h, plain } from "../element.js";
import { exportRuns } from "../exporting.js";
import { action } from "../parts.js";
import { compareAddress } from "../route.js";
import { Selection } from "../selection.js";
import { FORMATS, counted } from "../wording.js";

export class RunSelection extends Selection {
  constructor() {
    super("run");
  }

  actions() {
    const formats = Object.entries(FORMATS).map(([key, { title }]) => action(title, () => this.export([key]), { label: `Export ${counted(this.ids.size, "run")} as ${title}` }));
    return [action("Export in all formats", () => this.export(), { kind: "small.primary" }), ...formats, this.comparison()];
  }

  /** A link for two runs: the first chosen is the baseline. */
  comparison() {
    if (this.ids.size !== 2) return h("span.muted.small", {}, "Select two runs to compare them");
    const [baseline, comparison] = this.ids;
    return h("a.button.small", { href: compareAddress(baseline, comparison), title: `${plain(baseline)} is the baseline` }, "Compare ", foreign(baseline), " with ", foreign(comparison));
  }

  export(formats) {
    exportRuns([...this.ids], formats ? { formats } : {});
    this.clear();
  }
}
