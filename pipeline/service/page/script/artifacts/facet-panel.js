// Facets beside the list: how often each value occurs among what is found, and which are chosen.

import { fill, foreign, h, plain } from "../element.js";
import { opener } from "../fields.js";
import { action } from "../parts.js";
import { count } from "../wording.js";
import { FACETS } from "./artifact-words.js";

const AT_FIRST = 8;

/** Return the values of a facet that are chosen. */
export const chosenOf = ({ key, isMany }, query) => (isMany ? (query.get(key) ?? "").split(",").filter(Boolean) : [query.get(key)].filter(Boolean));

/** Return the parameter of a facet with a value added to it or taken away. */
export function toggled(facet, query, value) {
  const chosen = chosenOf(facet, query);
  const isChosen = chosen.includes(value);
  if (!facet.isMany) return isChosen ? "" : value;
  return (isChosen ? chosen.filter((one) => one !== value) : [...chosen, value]).join(",");
}

/**
 * @param {URLSearchParams} query
 * @param {(changes: Record<string, string>) => void} change
 */
export function facetPanel(query, change) {
  const body = h("div.facets", { id: "facets" });
  const toggle = opener("Facets", { "aria-controls": "facets" });
  const element = h("aside.facet-panel", { "aria-label": "Facets" }, toggle, body);
  const whole = new Set();

  /** Show the facets of an answer; null where counting takes too long. */
  function show(facets) {
    const parts = Object.entries(FACETS).map(([name, facet]) => part(name, facet, facets?.[name] ?? {}));
    const note = facets === null ? h("p.muted.small", {}, "So many match that counting them by value takes too long. Narrow the list down first.") : null;
    fill(body, note, ...parts);
  }

  function part(name, facet, counts) {
    const chosen = chosenOf(facet, query);
    const values = [...new Set([...chosen, ...Object.keys(counts)])];
    if (!values.length) return null;
    const shown = whole.has(name) ? values : values.slice(0, Math.max(AT_FIRST, chosen.length));
    const items = shown.map((value) => h("li", {}, button(facet, value, counts[value], chosen.includes(value))));
    const rest = values.length - shown.length;
    const more = rest > 0 ? action(`${count(rest)} more`, () => expand(name, facet, counts), { kind: "small.plain", label: `${count(rest)} more of ${facet.title}` }) : null;
    return h("section", { data: { facet: name }, "aria-label": facet.title }, h("h2", {}, facet.title), h("ul", {}, ...items), more);
  }

  function expand(name, facet, counts) {
    whole.add(name);
    const section = body.querySelector(`[data-facet="${name}"]`);
    const grown = part(name, facet, counts);
    section.replaceWith(grown);
    grown.querySelectorAll("button")[AT_FIRST]?.focus();
  }

  function button(facet, value, number, isChosen) {
    const words = facet.words?.(value) ?? value;
    return h(
      "button.facet",
      { type: "button", "aria-pressed": String(isChosen), title: plain(words), onclick: () => change({ [facet.key]: toggled(facet, query, value) }) },
      h("span", {}, foreign(words)),
      h("small", {}, count(number ?? 0)),
    );
  }

  return { element, show };
}
