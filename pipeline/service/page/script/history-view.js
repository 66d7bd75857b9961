// The history of all exports and imports.

import { fill, h } from "./element.js";
import { field, searchInput, select } from "./fields.js";
import { jobTable } from "./job-table.js";
import { pager } from "./parts.js";
import { changeQuery } from "./route.js";
import { JOB_STATES, counted } from "./wording.js";

const PAGE_SIZE = 50;
const TYPING_PAUSE = 250;
const KINDS = { "": "Exports and imports", export: "Exports", import: "Imports", comparison: "Comparisons" };
const STATES = { "": "Any state", ...Object.fromEntries(Object.entries(JOB_STATES).map(([key, [, title]]) => [key, title])) };

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function historyView(main, route, signal) {
  const query = route.query;
  const total = h("p.muted", { role: "status" });
  const place = h("section.panel", { "aria-label": "Jobs" });
  const pages = h("nav.pager", { "aria-label": "Pages" });
  let drawing = new AbortController();
  signal.addEventListener("abort", () => drawing.abort());

  function draw() {
    drawing.abort();
    drawing = new AbortController();
    const wanted = { page: Number(query.get("page")) || 1, pageSize: PAGE_SIZE };
    for (const key of ["state", "kind", "search"]) wanted[key] = query.get(key) ?? "";
    fill(place, jobTable({ query: wanted, withRun: true, signal: drawing.signal, loaded }));
  }

  function loaded(found) {
    fill(total, counted(found.totalCount, "job"));
    const go = (page) => change("page", page);
    fill(pages, ...pager(found.page, PAGE_SIZE, found.totalCount, go, ["Newer", "Older"]));
  }

  function change(key, value, isStep) {
    changeQuery(query, { [key]: value }, isStep);
    draw();
  }

  const choice = (title, key, titles) => field(title, select(titles, query.get(key), (value) => change(key, value)));
  const placeholder = "Words of a run's id or a file's name  ( / )";
  const search = searchInput(query.get("search"), placeholder, (words) => change("search", words, false), TYPING_PAUSE);
  main.append(
    h("div.title-line", {}, h("h1", {}, "History"), total),
    h("form.filters.short", { role: "search", onsubmit: (event) => event.preventDefault() }, field("Search jobs", search), choice("Kind", "kind", KINDS), choice("State", "state", STATES)),
    place,
    pages,
  );
  draw();
}
