// The first rows of each format, as they will look in the file.

import { ask, runPath } from "./api.js";
import { fill, foreign, h, plain } from "./element.js";
import { failure, loading, tabs } from "./parts.js";
import { rememberQuery } from "./route.js";
import { FORMATS, count } from "./wording.js";

const ROWS = 8;
const USUAL = "csv";

/** @type {(run: object, query: URLSearchParams, signal: AbortSignal) => HTMLElement} */
export function previewPanel(run, query, signal) {
  const place = h("div", { role: "tabpanel", tabIndex: 0, "aria-label": "First rows" });
  const shown = h("span.muted.small");
  const names = Object.fromEntries(Object.entries(FORMATS).map(([key, { title }]) => [key, title]));
  let chosen = "";

  async function show(format) {
    chosen = format;
    if (format === USUAL) query.delete("format");
    else query.set("format", format);
    rememberQuery(query);
    fill(place, loading("rows"));
    try {
      const found = await ask(runPath(run.id, `/preview?format=${format}&rows=${ROWS}`), { signal });
      if (chosen !== format) return;
      fill(place, ...(format === "parquet" ? [cells(found)] : text(found.text)));
      fill(shown, found.rowsTotal === null ? "" : `${count(Math.min(ROWS, found.rowsTotal))} of ${count(found.rowsTotal)} rows`);
    } catch (error) {
      if (!signal.aborted && chosen === format) fill(place, failure(error, () => show(format)));
    }
  }

  const first = query.get("format") in FORMATS ? query.get("format") : USUAL;
  return h("section.panel", {}, h("header", {}, h("h2", {}, "How exports will look"), shown), tabs("Format", names, first, show), place);
}

/** Lines as they are in the file; a CSV's long comment lines are folded away. */
function text(whole) {
  const lines = whole.split("\n");
  const comments = lines.filter((line) => line.startsWith("# "));
  const rows = lines.slice(comments.length).join("\n");
  if (!comments.length) return [file(rows)];
  const header = h("details", {}, h("summary", {}, `${comments.length} header lines`), file(comments.join("\n")));
  return [header, file(rows)];
}

const file = (content) => h("pre.file", { tabIndex: 0 }, plain(content));

function cells({ columns, rows }) {
  const isNumber = (column) => ["number", "integer"].includes(column.type);
  const kind = (column) => (isNumber(column) ? ".number" : "");
  const head = columns.map((column) =>
    h(`th${kind(column)}`, { scope: "col" }, foreign(column.name), h("small", {}, [column.type, column.unit].filter(Boolean).join(", "))),
  );
  const body = rows.map((row) => h("tr", {}, ...row.map((cell, place) => h(`td${kind(columns[place])}`, {}, foreign(cell ?? "")))));
  return h("div.cells", { tabIndex: 0, role: "region", "aria-label": "First rows as a table" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body)));
}
