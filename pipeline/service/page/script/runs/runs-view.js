// The list of runs: search, filters, order, pages, a selection, and exports with one click.

import { ask } from "../api.js";
import { autoExportSwitch } from "../auto-export.js";
import { fill, foreign, h } from "../element.js";
import { live } from "../live.js";
import { empty, failure, loading, pager } from "../parts.js";
import { changeQuery } from "../route.js";
import { savedViews } from "../saved-views.js";
import { serviceFacts } from "../service-facts.js";
import { count, counted } from "../wording.js";
import { runFilters } from "./run-filters.js";
import { RunSelection } from "./run-selection.js";
import { RunTable } from "./run-table.js";

const PAGE_SIZE = 50;
const STARTING = 1000;
const FILTERS = ["search", "state", "source", "createdFrom", "createdTo", "hasWarnings"];

/** @type {(main: HTMLElement, route: import("../route.js").Route, signal: AbortSignal) => void} */
export function runsView(main, route, signal) {
  const query = route.query;
  const total = h("p.muted", { role: "status" });
  const list = h("div", {}, loading("runs"));
  const pages = h("nav.pager", { "aria-label": "Pages" });
  const selection = new RunSelection();
  const table = new RunTable(query, change, selection);
  const filters = runFilters(query, change);
  const views = savedViews(query, FILTERS.concat("sort"), { path: "#/", key: "flowtime-views" });
  main.append(
    h("div.title-line", {}, h("h1", {}, "Runs"), total, views.element, h("span.push", {}, autoExportSwitch(signal))),
    filters.element,
    selection.bar,
    h("section.panel.list", { "aria-label": "Runs" }, list),
    pages,
  );
  let turn = 0;

  async function load() {
    const mine = (turn += 1);
    const wanted = new URLSearchParams(query);
    wanted.set("pageSize", PAGE_SIZE);
    wanted.set("exports", "true");
    let page;
    try {
      page = await ask(`/v1/runs?${wanted}`, { signal });
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      fill(list, failure(error, load));
      return;
    }
    if (mine !== turn || signal.aborted) return;
    fill(total, described(page));
    filters.offerSources(page.sources);
    if (page.items.length) fill(list, table.draw(page.items));
    else fill(list, await nothing());
    fill(pages, ...pager(page.page, page.pageSize, page.totalCount, (number) => change({ page: number }, true)));
  }

  async function nothing() {
    if (FILTERS.some((key) => query.get(key))) return empty("No run matches", "Try other words, or fewer filters.", clear());
    const facts = await serviceFacts().catch(() => null);
    const where = facts ? h("p", {}, "The service watches ", h("code", {}, foreign(facts.runs)), ".") : null;
    return empty("No runs yet", where, "Runs appear here as soon as the engine has written one there. You can also ", h("p", {}, h("a", { href: "#/import" }, "import an export or a table"), "."));
  }

  const clear = () => h("p", {}, h("a", { href: "#/" }, "Show all runs"));

  /** Take over changes of the state, and show it. */
  function change(changes, isStep) {
    changeQuery(query, changes, isStep);
    views.refresh();
    load();
  }

  live.addEventListener("runs", load, { signal });
  live.addEventListener("job", ({ detail: job }) => table.update(job), { signal });
  showFound(list, signal);
  load();
}

function described(page) {
  const { broken = 0, incomplete = 0 } = page.states;
  const parts = [counted(page.totalCount, "run")];
  if (broken) parts.push(`${count(broken)} broken`);
  if (incomplete) parts.push(`${count(incomplete)} being written`);
  return parts.join(", ");
}

/** While the service lists runs for the first time, say how many it has found. */
function showFound(list, signal) {
  const timer = setInterval(async () => {
    const waiting = list.querySelector("[role=status]");
    if (!waiting || signal.aborted) {
      clearInterval(timer);
      return;
    }
    const health = await fetch("/readyz").then((response) => response.json(), () => null);
    if (health?.status === "starting" && waiting.isConnected) fill(waiting, `Listing runs: ${counted(health.found ?? 0, "folder")} looked at …`);
  }, STARTING);
}
