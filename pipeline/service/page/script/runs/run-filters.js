// Search and filters of the list of runs.

import { fill, h, plain } from "../element.js";

const TYPING_PAUSE = 200;
const SORTS = { "": "Newest first", created: "Oldest first", id: "By id", "-rows": "Most rows", "-series": "Most series" };
const STATES = { "": "Any state", complete: "Complete", incomplete: "Being written", broken: "Broken", link: "Link" };

/**
 * @param {URLSearchParams} query
 * @param {(changes: Record<string, string | false>, isStep?: boolean) => void} change
 */
export function runFilters(query, change) {
  let pause = 0;
  const search = h("input", {
    type: "search",
    value: query.get("search") ?? "",
    placeholder: "Words of an id, title, template …  ( / )",
    oninput: ({ target }) => {
      clearTimeout(pause);
      pause = setTimeout(() => change({ search: target.value.trim() }, false), TYPING_PAUSE);
    },
  });
  const state = select("State", query.get("state"), STATES, (value) => change({ state: value }));
  const source = select("Source", query.get("source"), { "": "Any source" }, (value) => change({ source: value }));
  const day = (title, key) =>
    field(title, h("input", { type: "date", value: (query.get(key) ?? "").slice(0, 10), onchange: ({ target }) => change({ [key]: target.value }) }));
  const warned = h("input", {
    type: "checkbox",
    checked: query.get("hasWarnings") === "true",
    onchange: ({ target }) => change({ hasWarnings: target.checked && "true" }),
  });
  const element = h(
    "form.filters",
    { role: "search", onsubmit: (event) => event.preventDefault() },
    field("Search runs", search),
    h("button.button.only-narrow", { type: "button", "aria-expanded": "false", onclick: toggle }, "Filters and order"),
    field("State", state),
    field("Source", source),
    day("Created from", "createdFrom"),
    day("Created before", "createdTo"),
    h("label.field.only-narrow", {}, h("span", {}, "Order"), select("Order", query.get("sort"), SORTS, (value) => change({ sort: value }))),
    h("label.check", {}, warned, "With warnings"),
  );

  /** On phones the filters open on demand. */
  function toggle({ target }) {
    const isOpen = element.toggleAttribute("data-open");
    target.setAttribute("aria-expanded", String(isOpen));
  }

  /** Offer the sources that there are. */
  function offerSources(names) {
    const chosen = query.get("source") ?? "";
    const all = [...new Set([...names, ...(chosen ? [chosen] : [])])].sort();
    fill(source, option("", "Any source", chosen), ...all.map((name) => option(name, plain(name), chosen)));
  }

  return { element, offerSources };
}

const field = (title, input) => h("label.field", {}, h("span", {}, title), input);
const option = (value, title, chosen) => h("option", { value, selected: value === chosen }, title);

function select(label, chosen, titles, onchange) {
  const options = Object.entries(titles).map(([value, title]) => option(value, title, chosen ?? ""));
  return h("select", { onchange: ({ target }) => onchange(target.value) }, ...options);
}
