// Search, dates, order and switches of the list of artifacts, and what is chosen as chips.

import { fill, foreign, h, plain } from "../element.js";
import { dayInput, field, opener, options, searchInput, select } from "../fields.js";
import { instant } from "../wording.js";
import { FACETS, OTHER_FILTERS } from "./artifact-words.js";
import { chosenOf, toggled } from "./facet-panel.js";

const SORTS = {
  "": "Newest first",
  "created asc": "Oldest first",
  "modified desc": "Last changed first",
  "title asc": "By title",
  "id asc": "By id",
  "size desc": "Largest first",
  "size asc": "Smallest first",
};
const STATES = { "": "Usable", broken: "Broken", incomplete: "Being written", link: "Links" };

/**
 * @param {URLSearchParams} query
 * @param {(changes: Record<string, string | false>, isStep?: boolean) => void} change
 */
export function artifactFilters(query, change) {
  const placeholder = "Part of a title, id, tag, file, value …  ( / )";
  const search = searchInput(query.get("fullText"), placeholder, (words) => change({ fullText: words }, false));
  const order = h("select", { onchange: ({ target }) => change(orderOf(target.value)) });
  const state = select(STATES, query.get("state"), (value) => change({ state: value }));
  const day = (title, key, clock) => field(title, dayInput(query.get(key), (value) => change({ [key]: value && value + clock })));
  const chips = h("ul.chips.chosen", { "aria-label": "Chosen filters" });
  const form = h(
    "form.filters",
    { role: "search", onsubmit: (event) => event.preventDefault() },
    field("Search artifacts", search),
    opener("Filters and order"),
    field("State", state),
    day("Created from", "createdAfter", "T00:00:00Z"),
    day("Created until", "createdBefore", "T23:59:59Z"),
    field("Order", order),
    h("span.checks", {}, flag("Pinned", "pinned"), flag("With archived", "includeArchived")),
  );

  function flag(title, key) {
    const input = h("input", { type: "checkbox", checked: query.get(key) === "true", onchange: () => change({ [key]: input.checked && "true" }) });
    return h("label.check", {}, input, title);
  }

  /** Show what is chosen as chips that take it away, and the order, which headers change too. */
  function refresh() {
    const now = query.get("sortBy") ? `${query.get("sortBy")} ${query.get("sortOrder") ?? "desc"}` : "";
    fill(order, ...options(now in SORTS ? SORTS : { ...SORTS, [now]: "By a header" }, now));
    const found = [];
    for (const facet of Object.values(FACETS)) {
      for (const value of chosenOf(facet, query)) found.push(chip(facet.title, facet.words?.(value) ?? value, { [facet.key]: toggled(facet, query, value) }));
    }
    for (const [key, title] of Object.entries(OTHER_FILTERS)) {
      const value = query.get(key);
      if (value) found.push(chip(title, key.startsWith("created") ? instant(value) : value, { [key]: "" }));
    }
    fill(chips, ...found);
    chips.hidden = !found.length;
  }

  const chip = (title, value, changes) =>
    h("li", {}, h("button.chip", { type: "button", "aria-label": `Remove the filter ${title}: ${plain(value)}`, onclick: () => change(changes) }, h("span", {}, `${title}: `, foreign(value)), h("b", { "aria-hidden": "true" }, "×")));

  refresh();
  return { element: form, chips, refresh };
}

function orderOf(text) {
  const [sortBy = "", sortOrder = ""] = text.split(" ");
  return { sortBy, sortOrder };
}
