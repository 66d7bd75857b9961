// How two runs are compared: tolerance and alignment, kept in the address.

import { h } from "../element.js";

const ALIGNMENTS = { auto: "Automatic", timestamp: "Same instants", start_time: "Time since start", bin: "Number of the bin" };
const BOUNDS = { absolute: "Absolute tolerance", relative: "Relative tolerance" };

/** Return the options that an address has, as the API takes them. */
export function compareOptions(query) {
  const tolerance = Object.fromEntries(Object.keys(BOUNDS).map((name) => [name, bound(query.get(name))]));
  const alignment = query.get("alignment") in ALIGNMENTS ? query.get("alignment") : "auto";
  return { tolerance, alignment };
}

/**
 * @param {URLSearchParams} query
 * @param {() => void} changed Called when the runs are to be compared again.
 */
export function optionsForm(query, changed) {
  const field = ([name, title]) =>
    h("label.field", {}, h("span", {}, title), h("input", { name, type: "text", inputMode: "decimal", autocomplete: "off", value: query.get(name) ?? "", placeholder: "0" }));
  const alignment = h(
    "select",
    { name: "alignment" },
    ...Object.entries(ALIGNMENTS).map(([key, title]) => h("option", { value: key, selected: key === (query.get("alignment") ?? "auto") }, title)),
  );

  function apply(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    for (const name of Object.keys(BOUNDS)) set(name, String(bound(form.get(name)) || ""));
    set("alignment", form.get("alignment") === "auto" ? "" : String(form.get("alignment")));
    changed();
  }

  function set(name, value) {
    if (value) query.set(name, value);
    else query.delete(name);
  }

  return h(
    "form.compare-options",
    { onsubmit: apply, "aria-label": "How to compare" },
    ...Object.entries(BOUNDS).map(field),
    h("label.field", {}, h("span", {}, "Alignment"), alignment),
    h("button.button", { type: "submit" }, "Compare again"),
  );
}

/** A bound out of a text; what is none is 0. */
function bound(text) {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : 0;
}
