// Small pieces that views are made of.

import { advice } from "./advice.js";
import { h } from "./element.js";

/** Make a word on a coloured ground. */
export const badge = ([tone, word], title = null) => h("span.badge", { data: { tone }, title }, word);

/** Make what is shown where there is nothing to show, and why. */
export const empty = (title, ...more) =>
  h("div.empty", {}, h("b", {}, title), ...more.map((one) => (one instanceof Node ? one : h("p", {}, one))));

/** Make what is shown until data arrives. */
export const loading = (what) => h("p.empty", { role: "status" }, `Loading ${what} …`);

/** Make an error in words, with what to do about it. */
export function failure(error, again) {
  const hint = advice(error);
  return h(
    "div.notice",
    { data: { tone: "bad" }, role: "alert" },
    h("b", {}, h("bdi", {}, sentence(error.message))),
    hint ? h("span", {}, hint) : null,
    again ? h("p", {}, h("button.button.small", { type: "button", onclick: again }, "Try again")) : null,
  );
}

/**
 * Begin a text with a capital letter, where it begins with a plain word.
 *
 * Names of files, series and runs keep their spelling: `manifest.json is missing`.
 */
export const sentence = (text) => (/^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text);

/** Make a button of an action. */
export const action = (title, onclick, { label, kind = "small", ...properties } = {}) =>
  h(`button.button.${kind}`, { type: "button", "aria-label": label, onclick, ...properties }, title);

/** Make a button that shows a sign, and says in words what it does. */
export const tool = (sign, label, onclick) => action(sign, onclick, { label, title: label });

/**
 * Make the header of a column that sorts.
 *
 * @param {string} title
 * @param {"none" | "ascending" | "descending"} direction How the column is sorted now.
 * @param {() => void} sort
 * @param {{isNumber?: boolean, about?: string}} [options]
 */
export function sortHeader(title, direction, sort, { isNumber = false, about } = {}) {
  const arrow = { none: "", ascending: " ↑", descending: " ↓" }[direction];
  const button = h("button.sorter", { type: "button", title: about, onclick: sort }, title, h("span", { "aria-hidden": "true" }, arrow));
  return h(isNumber ? "th.number" : "th", { scope: "col", "aria-sort": direction }, button);
}

/** Make buttons to the pages before and after; nothing where there is one page. */
export function pager(page, pageSize, total, go, [before, after] = ["Previous page", "Next page"]) {
  const last = Math.max(1, Math.ceil(total / pageSize));
  if (last === 1) return [];
  return [
    action(before, () => go(page - 1), { disabled: page <= 1 }),
    h("span.muted", {}, `Page ${page.toLocaleString("en")} of ${last.toLocaleString("en")}`),
    action(after, () => go(page + 1), { disabled: page >= last }),
  ];
}

/** Make buttons of which one is chosen, by arrow keys too (WAI-ARIA tabs). */
export function tabs(label, names, chosen, choose) {
  const buttons = Object.entries(names).map(([key, title]) =>
    h("button", { type: "button", role: "tab", data: { key }, onclick: () => pick(key) }, title),
  );
  const list = h("div.tabs", { role: "tablist", "aria-label": label, onkeydown: move }, ...buttons);
  const keys = Object.keys(names);

  function pick(key) {
    for (const button of buttons) {
      const isChosen = button.dataset.key === key;
      button.setAttribute("aria-selected", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
    choose(key);
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = buttons.indexOf(document.activeElement);
    const next = buttons[(place + step + keys.length) % keys.length];
    next.focus();
    pick(next.dataset.key);
  }

  pick(chosen);
  return list;
}
