// Search and filters of the list of runs.

import { fill, h, plain } from "../element.js";
import { dayInput, field, opener, option, searchInput, select } from "../fields.js";

const SORTS = { "": "Newest first", created: "Oldest first", id: "By id", "-rows": "Most rows", "-series": "Most series" };
const STATES = { "": "Any state", complete: "Complete", incomplete: "Being written", broken: "Broken", link: "Link" };

/**
 * @param {URLSearchParams} query
 * @param {(changes: Record<string, string | false>, isStep?: boolean) => void} change
 */
export function runFilters(query, change) {
  const search = searchInput(query.get("search"), "Words of an id, title, template …  ( / )", (words) => change({ search: words }, false));
  const state = select(STATES, query.get("state"), (value) => change({ state: value }));
  const source = select({ "": "Any source" }, query.get("source"), (value) => change({ source: value }));
  const day = (title, key) => field(title, dayInput(query.get(key), (value) => change({ [key]: value })));
  const warned = h("input", {
    type: "checkbox",
    checked: query.get("hasWarnings") === "true",
    onchange: ({ target }) => change({ hasWarnings: target.checked && "true" }),
  });
  const element = h(
    "form.filters",
    { role: "search", onsubmit: (event) => event.preventDefault() },
    field("Search runs", search),
    opener("Filters and order"),
    field("State", state),
    field("Source", source),
    day("Created from", "createdFrom"),
    day("Created before", "createdTo"),
    h("label.field.only-narrow", {}, h("span", {}, "Order"), select(SORTS, query.get("sort"), (value) => change({ sort: value }))),
    h("label.check", {}, warned, "With warnings"),
  );

  /** Offer the sources that there are. */
  function offerSources(names) {
    const chosen = query.get("source") ?? "";
    const all = [...new Set([...names, ...(chosen ? [chosen] : [])])].sort();
    fill(source, option("", "Any source", chosen), ...all.map((name) => option(name, plain(name), chosen)));
  }

  return { element, offerSources };
}
