// The table of runs: one line each, headers that sort, boxes that select.

import { foreign, h, plain } from "../element.js";
import { exportAndReport } from "../exporting.js";
import { badge, sortHeader } from "../parts.js";
import { runAddress } from "../route.js";
import { since } from "../times.js";
import { RUN_STATES, count, counted, instant, size, width } from "../wording.js";

const COLUMNS = [
  { title: "Run", sort: "id" },
  { title: "Created", sort: "created", first: "-created" },
  { title: "Grid" },
  { title: "Series", sort: "series", first: "-series", isNumber: true },
  { title: "Rows", sort: "rows", first: "-rows", isNumber: true },
  { title: "State" },
  { title: "Exported" },
];
const USUAL = "-created";

export class RunTable {
  /**
   * @param {URLSearchParams} query
   * @param {(changes: Record<string, string>) => void} change
   * @param {import("../selection.js").Selection} selection
   */
  constructor(query, change, selection) {
    this.query = query;
    this.change = change;
    this.selection = selection;
    this.marks = new Map();
  }

  /** Make the table of a page of runs. */
  draw(runs) {
    this.marks = new Map();
    const all = this.selection.boxOfAll(runs.filter(isReadable).map((run) => run.id));
    const head = h("tr", {}, h("th.pick", { scope: "col" }, all), ...COLUMNS.map((column) => this.header(column)), h("th", { scope: "col" }, h("span.sr", {}, "Export")));
    return h("div.scroll", {}, h("table.runs", {}, h("thead", {}, head), h("tbody", {}, ...runs.map((run) => this.row(run)))));
  }

  /** Mark a run as exported when its job has finished. */
  update(job) {
    const mark = job.state === "done" && job.request.kind === "export" && this.marks.get(job.request.run);
    if (mark) mark.replaceChildren(exported(job.finished));
  }

  header({ title, sort, first = sort, isNumber }) {
    if (!sort) return h("th", { scope: "col" }, title);
    const now = this.query.get("sort") ?? USUAL;
    const isHere = now.replace(/^-/, "") === sort;
    const next = isHere ? (now.startsWith("-") ? sort : `-${sort}`) : first;
    const direction = !isHere ? "none" : now.startsWith("-") ? "descending" : "ascending";
    return sortHeader(title, direction, () => this.change({ sort: next === USUAL ? "" : next }), { isNumber });
  }

  row(run) {
    const mark = h("td.mark-cell", {}, run.exportedUtc ? exported(run.exportedUtc) : null);
    this.marks.set(run.id, mark);
    return h(
      "tr",
      {},
      h("td.pick", {}, isReadable(run) ? this.selection.box(run.id) : null),
      name(run),
      h("td.when", {}, since(run.createdUtc)),
      h("td.when", {}, run.grid ? `${count(run.grid.bins)} × ${width(run.grid.binMinutes)}` : null),
      h("td.number", { data: run.grid ? { label: "series" } : {} }, run.grid ? count(run.seriesCount) : null),
      h("td.number", { data: run.grid ? { label: "rows" } : {}, title: run.bytes ? size(run.bytes) : "" }, run.grid ? count(run.rows) : null),
      h("td", {}, state(run)),
      mark,
      h("td", {}, isReadable(run) ? exportButton(run) : null),
    );
  }
}

/** Whether a run can be exported; a run whose last export found a fault may be repaired by now. */
const isReadable = (run) => run.grid !== null && run.grid !== undefined;

function name(run) {
  const title = run.modelTitle ?? run.templateTitle;
  return h(
    "td.name",
    {},
    h("a", { href: runAddress(run.id), title: plain(run.path) }, foreign(run.id)),
    title ? h("small", { title: plain(title) }, foreign(title)) : null,
    run.reason ? h("small", { data: { tone: run.state === "incomplete" ? "" : "bad" }, title: plain(run.reason) }, foreign(run.reason)) : null,
  );
}

/** What is not as usual: a complete run without warnings needs no word. */
function state(run) {
  const parts = [];
  if (run.state !== "complete") parts.push(badge(RUN_STATES[run.state]));
  if (run.warningCount) parts.push(badge(["warn", counted(run.warningCount, "warning")]));
  return parts.length ? h("span.links", {}, ...parts) : null;
}

const exported = (at) => h("span.exported", { title: `Exported ${instant(at)}` }, "✓", h("span.sr", {}, "exported "), since(at));

function exportButton(run) {
  const button = h("button.button.small.row-action", { type: "button", "aria-label": `Export ${plain(run.id)} in all formats` }, "Export");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await exportAndReport(run.id);
    button.disabled = false;
  });
  return button;
}
