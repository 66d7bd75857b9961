// The series of a run to choose from, grouped by component.

import { fill, foreign, h, plain } from "../element.js";
import { counted } from "../wording.js";
import { MOST_SERIES } from "./panels.js";

const SEARCH_FROM = 12;

/**
 * @param {object[]} series Series as the index of the run has them.
 * @param {Set<string>} chosen Changed by the picker.
 * @param {() => void} changed Called after each change.
 * @returns {{element: HTMLElement, refresh: () => void}}
 */
export function seriesPicker(series, chosen, changed) {
  const inputs = new Map();
  const groups = [...Map.groupBy(series, (one) => one.componentId ?? "")].map(([component, own]) => group(component, own));
  const note = h("p.muted.small", { role: "status" });

  function group(component, own) {
    const chips = own.map(chip);
    return { component, chips, own, element: h("div.series-group", { role: "group", "aria-label": plain(component || "No component") }, h("b", {}, foreign(component) ?? "No component"), h("div.chips", {}, ...chips)) };
  }

  function chip(one) {
    const input = h("input", { type: "checkbox", "aria-label": plain(one.id), onchange: () => toggle(one.id, input.checked) });
    inputs.set(one.id, input);
    const isUsual = one.class === "DEFAULT";
    return h("label.chip", { title: plain(one.unit ? `${one.id} (${one.unit})` : one.id) }, input, h("span", {}, foreign(isUsual ? one.measure : `${one.measure} · ${one.class}`)));
  }

  function toggle(id, isOn) {
    if (isOn) chosen.add(id);
    else chosen.delete(id);
    refresh();
    changed();
  }

  function refresh() {
    const isFull = chosen.size >= MOST_SERIES;
    for (const [id, input] of inputs) {
      input.checked = chosen.has(id);
      input.disabled = isFull && !input.checked;
    }
    fill(note, isFull ? `${MOST_SERIES} series are shown, which is the most: remove one to add another.` : "");
  }

  function find({ target }) {
    const words = target.value.trim().toLowerCase().split(/\s+/);
    for (const { chips, own, element } of groups) {
      own.forEach((one, place) => (chips[place].hidden = !words.every((word) => one.id.toLowerCase().includes(word))));
      element.hidden = chips.every((one) => one.hidden);
    }
  }

  const search = h("input", { type: "text", placeholder: `Find among ${counted(series.length, "series", "series")}`, "aria-label": "Find series", oninput: find });
  const element = h("div.picker", {}, series.length > SEARCH_FROM ? search : null, h("div.groups", { role: "group", "aria-label": "Series to show" }, ...groups.map((one) => one.element)), note);
  refresh();
  return { element, refresh };
}
