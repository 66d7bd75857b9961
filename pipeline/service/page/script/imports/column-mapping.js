// Which column of a table is which: chosen over its first rows.

import { fill, foreign, h } from "../element.js";
import { tableSample } from "./table-sample.js";

const ROLES = {
  time_bin: "Time",
  component_id: "Component",
  measure: "Measure",
  class: "Class (optional)",
  value: "Value",
};
/** Other names that tables have for these columns. */
const USUAL = {
  time_bin: ["timestamp", "time", "datetime", "date", "when", "ts", "bin"],
  component_id: ["component", "node", "node_id", "id", "name", "station"],
  measure: ["metric", "variable", "kpi", "what", "series"],
  class: ["class_id", "flow", "category"],
  value: ["val", "amount", "count", "reading", "y"],
};

export class ColumnMapping {
  constructor() {
    this.element = h("div", {});
    this.selects = new Map();
    this.names = null;
  }

  /** Show the first rows of the table among files; an export with a descriptor needs no mapping. */
  async show(files) {
    this.selects.clear();
    this.names = null;
    const isDescribed = files.some((file) => file.name.endsWith("datapackage.json"));
    const [file] = files.filter((one) => !one.name.endsWith(".json"));
    if (!file || isDescribed) {
      fill(this.element);
      return;
    }
    const sample = await tableSample(file).catch(() => null);
    if (sample === null) this.askForNames(file);
    else if (sample.columns.length) this.offer(file, sample);
  }

  /** The mapping as the API takes it, or null where each column has its usual name. */
  get value() {
    const chosen = {};
    for (const [role, input] of this.selects) if (input.value && input.value !== role) chosen[role] = input.value;
    return Object.keys(chosen).length ? chosen : null;
  }

  offer(file, { columns, rows }) {
    const taken = new Set();
    const pickers = Object.entries(ROLES).map(([role, title]) => {
      const guess = [role, ...USUAL[role]].find((name) => columns.some((column) => column.toLowerCase() === name && !taken.has(column)));
      const chosen = columns.find((column) => column.toLowerCase() === guess && !taken.has(column)) ?? "";
      taken.add(chosen);
      const select = h("select", { "aria-label": `Column of the ${title}` }, h("option", { value: "" }, "–"), ...columns.map((column) => h("option", { value: column, selected: column === chosen }, column)));
      this.selects.set(role, select);
      return h("label.field", {}, h("span", {}, title), select);
    });
    const head = columns.map((column) => h("th", { scope: "col" }, foreign(column)));
    const body = rows.map((row) => h("tr", {}, ...columns.map((_, place) => h("td", {}, foreign(row[place] ?? "")))));
    const table = h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body));
    fill(
      this.element,
      panel(
        "Columns of the table",
        h("p.muted.small", {}, "First rows of ", foreign(file.name), ". Choose which column is which; an export of this project needs no choice."),
        h("div.pair", {}, ...pickers),
        h("div.cells", { tabIndex: 0, role: "region", "aria-label": "First rows of the table" }, table),
      ),
    );
  }

  /** For formats that a browser does not read, the names are typed. */
  askForNames(file) {
    const fields = Object.entries(ROLES).map(([role, title]) => {
      const input = h("input", { type: "text", placeholder: role });
      this.selects.set(role, input);
      return h("label.field", {}, h("span", {}, title), input);
    });
    const more = h("details", {}, h("summary", {}, "Columns of the table"), h("p.muted.small", {}, "The first rows of ", foreign(file.name), " cannot be shown here. Where it is no export of this project and its columns have other names, enter them."), h("div.pair", {}, ...fields));
    fill(this.element, more);
  }
}

const panel = (title, ...parts) => h("section.panel", {}, h("header", {}, h("h2", {}, title)), ...parts);
