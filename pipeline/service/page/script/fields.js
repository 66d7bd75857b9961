// Labelled inputs of the filters of lists.

import { h } from "./element.js";

const TYPING_PAUSE = 200;

/** Put a title over an input. */
export const field = (title, input) => h("label.field", {}, h("span", {}, title), input);

/** Make an input of words, which are reported when typing pauses. @param {number} [pause] In milliseconds. */
export function searchInput(value, placeholder, found, pause = TYPING_PAUSE) {
  let timer = 0;
  const report = ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => found(target.value.trim()), pause);
  };
  return h("input", { type: "search", value: value ?? "", placeholder, oninput: report });
}

/** Make an input of a day. @param {string | null} instant Its day is shown. */
export const dayInput = (instant, choose) =>
  h("input", { type: "date", value: (instant ?? "").slice(0, 10), onchange: ({ target }) => choose(target.value) });

/** Make a choice of one value. @param {Record<string, string>} titles Titles by value. */
export const select = (titles, chosen, choose) =>
  h("select", { onchange: ({ target }) => choose(target.value) }, ...options(titles, chosen));

/** Make the options of a choice. */
export const options = (titles, chosen) => Object.entries(titles).map(([value, title]) => option(value, title, chosen ?? ""));

/** Make one option of a choice. */
export const option = (value, title, chosen) => h("option", { value, selected: value === chosen }, title);

/** Make the button that opens and closes, on phones, the element that it is put into. */
export function opener(title, properties = {}) {
  const toggle = ({ target }) => target.setAttribute("aria-expanded", String(target.parentElement.toggleAttribute("data-open")));
  return h("button.button.only-narrow", { type: "button", "aria-expanded": "false", onclick: toggle, ...properties }, title);
}
