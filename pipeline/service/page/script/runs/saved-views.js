// Filters and orders of the list, kept under names in this browser.

import { fill, foreign, h, plain } from "../element.js";
import { action } from "../parts.js";

const KEY = "flowtime-views";

/**
 * @param {URLSearchParams} query
 * @param {string[]} keys What of the query makes a view.
 */
export function savedViews(query, keys) {
  const element = h("div.saved-views", { role: "group", "aria-label": "Saved views" });

  function refresh() {
    const views = stored();
    const now = state();
    const isKnown = views.some((view) => view.query === now);
    fill(
      element,
      ...views.map((view) => entry(view, view.query === now)),
      now && !isKnown ? action("Save view", save, { title: "Keep these filters and this order under a name" }) : null,
    );
  }

  function entry(view, isHere) {
    const remove = action("×", () => forget(view.name), { kind: "tiny", label: `Forget the view ${plain(view.name)}` });
    return h("span.saved-view", {}, h("a", { href: `#/?${view.query}`, "aria-current": isHere ? "true" : null }, foreign(view.name)), remove);
  }

  function save() {
    const input = h("input", { type: "text", "aria-label": "Name of the view", maxLength: 60, required: true });
    const form = h("form.name-view", { onsubmit: keep }, input, h("button.button.small.primary", { type: "submit" }, "Save"), action("Cancel", refresh));
    function keep(event) {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return;
      store([...stored().filter((view) => view.name !== name), { name, query: state() }]);
      refresh();
    }
    fill(element, form);
    input.focus();
  }

  function forget(name) {
    store(stored().filter((view) => view.name !== name));
    refresh();
  }

  function state() {
    const kept = new URLSearchParams();
    for (const key of [...keys].sort()) if (query.get(key)) kept.set(key, query.get(key));
    return kept.toString();
  }

  refresh();
  return { element, refresh };
}

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function store(views) {
  try {
    localStorage.setItem(KEY, JSON.stringify(views));
  } catch {
    // Where storage is forbidden, addresses can still be bookmarked.
  }
}
