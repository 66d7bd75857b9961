// The list of artifacts: facets, search, order, pages, saved views, and a selection.

import { ask } from "../api.js";
import { fill, h } from "../element.js";
import { live } from "../live.js";
import { action, empty, failure, loading, pager } from "../parts.js";
import { changeQuery } from "../route.js";
import { savedViews } from "../saved-views.js";
import { counted } from "../wording.js";
import { artifactFilters } from "./artifact-filters.js";
import { ArtifactSelection } from "./artifact-selection.js";
import { ArtifactTable } from "./artifact-table.js";
import { FACETS, OTHER_FILTERS } from "./artifact-words.js";
import { facetPanel } from "./facet-panel.js";

const PAGE_SIZE = 50;
const COUNTING = 1500;
const FILTERS = ["fullText", "state", "pinned", "includeArchived", ...Object.values(FACETS).map((facet) => facet.key), ...Object.keys(OTHER_FILTERS)];

/** @type {(main: HTMLElement, route: import("../route.js").Route, signal: AbortSignal) => void} */
export function artifactsView(main, route, signal) {
  const query = route.query;
  const total = h("p.muted", { role: "status" });
  const list = h("div", {}, loading("artifacts"));
  const pages = h("nav.pager", { "aria-label": "Pages" });
  const selection = new ArtifactSelection(() => load());
  const table = new ArtifactTable(query, change, selection);
  const filters = artifactFilters(query, change);
  const facets = facetPanel(query, change);
  const views = savedViews(query, FILTERS.concat("sortBy", "sortOrder"), { path: "#/artifacts", key: "flowtime-artifact-views" });
  const rescan = action("Refresh", refresh, { title: "Look for runs and exports that were written, moved or removed" });
  main.append(
    h("div.title-line", {}, h("h1", {}, "Artifacts"), total, views.element, h("span.push", {}, rescan)),
    filters.element,
    filters.chips,
    h("div.browse", {}, facets.element, h("div.stack", {}, selection.bar, h("section.panel.list", { "aria-label": "Artifacts" }, list), pages)),
  );
  let turn = 0;

  /** `isAgain`: facets that took long to count are there by now. */
  async function load({ isAgain = false } = {}) {
    const mine = (turn += 1);
    let page;
    try {
      page = await ask(`/v1/artifacts?${wanted(query)}`, { signal });
    } catch (error) {
      if (!signal.aborted && mine === turn) fill(list, failure(error, () => load()));
      return;
    }
    if (mine !== turn || signal.aborted) return;
    fill(total, (page.totalIsExact ? "" : "At least ") + counted(page.total, "artifact"));
    facets.show(page.facets);
    if (page.facets === null && !isAgain && !query.get("fullText")) setTimeout(() => mine === turn && !signal.aborted && load({ isAgain: true }), COUNTING);
    fill(list, page.artifacts.length ? table.draw(page.artifacts) : nothing());
    selection.show();
    fill(pages, ...pager(pageOf(query), PAGE_SIZE, page.total, (number) => change({ page: number > 1 ? String(number) : "" }, true)));
  }

  function nothing() {
    const all = h("p", {}, h("a", { href: "#/artifacts" }, "Show all artifacts"));
    if (FILTERS.some((key) => query.get(key)) || query.get("page")) return empty("No artifact matches", "Try other words, or fewer filters.", all);
    return empty("No artifacts yet", "Runs, exports and comparisons appear here soon after they are written.");
  }

  /** Take over changes of the state, and show it. */
  function change(changes, isStep) {
    changeQuery(query, changes, isStep);
    views.refresh();
    filters.refresh();
    load();
  }

  async function refresh() {
    rescan.disabled = true;
    await ask("/v1/artifacts/rescan", { method: "POST", signal }).catch(() => null);
    rescan.disabled = false;
    load();
  }

  live.addEventListener("runs", () => load(), { signal });
  load();
}

const pageOf = (query) => Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1);

/** Return the query of the service for the state of the view. */
function wanted(query) {
  const found = new URLSearchParams(query);
  found.delete("page");
  found.set("skip", String((pageOf(query) - 1) * PAGE_SIZE));
  found.set("limit", String(PAGE_SIZE));
  found.set("facets", "true");
  return found;
}
