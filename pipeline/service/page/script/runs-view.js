// The list of runs: search, filters, order, pages, and an export with one click.

import { ask } from "./api.js";
import { fill, h } from "./element.js";
import { exportAndTell } from "./exporting.js";
import { live } from "./live.js";
import { badge, empty, failure, loading } from "./parts.js";
import { rememberQuery, runAddress } from "./route.js";
import { RUN_STATES, count, counted, instant, size, width } from "./wording.js";

const PAGE_SIZE = 25;
const TYPING_PAUSE = 200;
const SORTS = {
  "-created": "Newest first",
  created: "Oldest first",
  id: "By id",
  "-rows": "Most rows",
  "-series": "Most series",
};
const STATES = { "": "All", complete: "Complete", incomplete: "Being written", broken: "Broken" };

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function runsView(main, route, signal) {
  const query = route.query;
  const total = h("p.muted", { role: "status" });
  const list = h("div", {}, loading("runs"));
  const pager = h("nav.pager", { "aria-label": "Pages" });
  const form = filters(query, change);
  main.append(
    h("div.title-line", {}, h("h1", {}, "Runs"), total),
    form,
    h("section.panel.list", { "aria-label": "Runs" }, list),
    pager,
  );
  const sources = new Set();
  let asked = 0;

  async function load() {
    const turn = (asked += 1);
    const wanted = new URLSearchParams(query);
    wanted.set("pageSize", PAGE_SIZE);
    let page;
    try {
      page = await ask(`/v1/runs?${wanted}`, { signal });
    } catch (error) {
      if (!signal.aborted && turn === asked) fill(list, failure(error, load));
      return;
    }
    if (turn !== asked || signal.aborted) return;
    fill(total, told(page));
    offerSources(form, sources, page.items, query.get("source"));
    fill(list, page.items.length ? table(page.items) : nothing(query));
    fill(pager, ...pages(page, (number) => change({ page: number })));
  }

  function change(changes) {
    if (!("page" in changes)) query.delete("page");
    for (const [key, value] of Object.entries(changes)) {
      if (value) query.set(key, value);
      else query.delete(key);
    }
    rememberQuery(query);
    load();
  }

  live.addEventListener("runs", load, { signal });
  load();
}

function filters(query, change) {
  let pause = 0;
  const search = h("input", {
    type: "search",
    value: query.get("search") ?? "",
    placeholder: "Id, title, template …  ( / )",
    oninput: (event) => {
      clearTimeout(pause);
      pause = setTimeout(() => change({ search: event.target.value.trim() }), TYPING_PAUSE);
    },
  });
  const sort = h(
    "select",
    { onchange: (event) => change({ sort: event.target.value }) },
    ...Object.entries(SORTS).map(([key, title]) =>
      h("option", { value: key, selected: key === (query.get("sort") ?? "-created") }, title),
    ),
  );
  const states = Object.entries(STATES).map(([key, title]) =>
    h(
      "label",
      {},
      h("input", {
        type: "radio",
        name: "state",
        checked: key === (query.get("state") ?? ""),
        onchange: () => change({ state: key }),
      }),
      title,
    ),
  );
  const source = h(
    "select",
    { name: "source", onchange: (event) => change({ source: event.target.value }) },
    h("option", { value: "" }, "Any source"),
  );
  const warned = h("input", {
    type: "checkbox",
    checked: query.get("hasWarnings") === "true",
    onchange: (event) => change({ hasWarnings: event.target.checked && "true" }),
  });
  return h(
    "form.filters",
    { role: "search", onsubmit: (event) => event.preventDefault() },
    h("label.field", {}, h("span", {}, "Search runs"), search),
    h("fieldset", {}, h("legend.sr", {}, "State"), h("div.segments", {}, ...states)),
    h("label.field", {}, h("span", {}, "Source"), source),
    h("label.field", {}, h("span", {}, "Order"), sort),
    h("label.check", {}, warned, "With warnings"),
  );
}

/** Sources that were met so far, to choose from. */
function offerSources(form, known, runs, chosen) {
  const before = known.size;
  for (const source of [chosen, ...runs.map((run) => run.source)]) if (source) known.add(source);
  if (known.size === before) return;
  const any = h("option", { value: "" }, "Any source");
  const options = [...known].sort().map((name) => h("option", { value: name, selected: name === chosen }, name));
  fill(form.elements.namedItem("source"), any, ...options);
}

function told(page) {
  const { broken = 0 } = page.states;
  return counted(page.totalCount, "run") + (broken ? `, ${count(broken)} broken` : "");
}

function nothing(query) {
  const isFiltered = ["search", "state", "source", "hasWarnings"].some((key) => query.get(key));
  return isFiltered
    ? empty("No run matches", "Try another word, or other filters.")
    : empty("No runs yet", "They appear here as soon as the engine has written one.");
}

function table(runs) {
  const titles = ["Run", "Created", "Grid", "Series", "Rows", "State"].map((title) =>
    h(["Series", "Rows"].includes(title) ? "th.number" : "th", { scope: "col" }, title),
  );
  const head = h("thead", {}, h("tr", {}, ...titles, h("th", {}, h("span.sr", {}, "Export"))));
  return h("div.scroll", {}, h("table", {}, head, h("tbody", {}, ...runs.map(row))));
}

function row(run) {
  const title = run.modelTitle ?? run.templateTitle;
  const warnings = run.warningCount ? badge(["warn", counted(run.warningCount, "warning")]) : null;
  return h(
    "tr",
    {},
    h(
      "td.name",
      {},
      h("a", { href: runAddress(run.id) }, run.id),
      title ? h("small", {}, title) : null,
      run.reason ? h("p", { data: { tone: run.state === "incomplete" ? "" : "bad" } }, run.reason) : null,
    ),
    h("td.when", {}, instant(run.createdUtc)),
    h("td.when", {}, run.grid ? `${count(run.grid.bins)} × ${width(run.grid.binMinutes)}` : null),
    h("td.number", { data: run.grid ? { label: "series" } : {} }, run.grid ? count(run.seriesCount) : null),
    h("td.number", { data: run.grid ? { label: "rows" } : {}, title: run.bytes ? size(run.bytes) : "" }, run.grid ? count(run.rows) : null),
    h("td", {}, h("span.links", {}, badge(RUN_STATES[run.state]), warnings)),
    h("td", {}, run.state === "complete" ? exportButton(run) : null),
  );
}

function exportButton(run) {
  const button = h("button.button.small", { type: "button", "aria-label": `Export ${run.id} in all formats` }, "Export");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await exportAndTell(run.id);
    button.disabled = false;
  });
  return button;
}

function pages(page, go) {
  const last = Math.max(1, Math.ceil(page.totalCount / page.pageSize));
  if (last === 1) return [];
  const step = (title, number, isPossible) =>
    h("button.button.small", { type: "button", disabled: !isPossible, onclick: () => go(String(number)) }, title);
  return [
    step("Earlier page", page.page - 1, page.page > 1),
    h("span.muted", {}, `Page ${count(page.page)} of ${count(last)}`),
    step("Next page", page.page + 1, page.page < last),
  ];
}
