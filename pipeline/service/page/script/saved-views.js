// Filters and orders of the list, kept under names in this browser.

import { fill, foreign, h, plain } from "./element.js";
import { action } from "./parts.js";

/**
 * @param {URLSearchParams} query
 * @param {string[]} keys What of the query makes a view.
 * @param {{path: string, key: string}} place Address of the list, and the name that this browser keeps its views under.
 */
export function savedViews(query, keys, { path, key }) {
  const element = h("div.saved-views", { role: "group", "aria-label": "Saved views" });

  function refresh() {
    const views = stored(key);
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
    return h("span.saved-view", {}, h("a", { href: `${path}?${view.query}`, "aria-current": isHere ? "true" : null }, foreign(view.name)), remove);
  }

  function save() {
    const input = h("input", { type: "text", "aria-label": "Name of the view", maxLength: 60, required: true });
    const form = h("form.name-view", { onsubmit: keep }, input, h("button.button.small.primary", { type: "submit" }, "Save"), action("Cancel", refresh));
    function keep(event) {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return;
      store(key, [...stored(key).filter((view) => view.name !== name), { name, query: state() }]);
      refresh();
    }
    fill(element, form);
    input.focus();
  }

  function forget(name) {
    store(key, stored(key).filter((view) => view.name !== name));
    refresh();
  }

  function state() {
    const kept = new URLSearchParams();
    for (const name of [...keys].sort()) if (query.get(name)) kept.set(name, query.get(name));
    return kept.toString();
  }

  refresh();
  return { element, refresh };
}

function stored(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function store(key, views) {
  try {
    localStorage.setItem(key, JSON.stringify(views));
  } catch {
    // Where storage is forbidden, addresses can still be bookmarked.
  }
}
