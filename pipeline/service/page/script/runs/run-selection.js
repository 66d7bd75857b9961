// Chosen runs, and what can be done with them together.

import { h } from "../element.js";
import { exportRuns } from "../exporting.js";
import { action } from "../parts.js";
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

  comparison() {
    if (this.ids.size !== 2) return h("span.muted.small", {}, "Select two runs to compare them");
    return this.compareLink(this.ids);
  }

  export(formats) {
    exportRuns([...this.ids], formats ? { formats } : {});
    this.clear();
  }
}
