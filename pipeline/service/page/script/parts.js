// Small pieces that views are made of.

import { ApiError } from "./api.js";
import { h } from "./element.js";

/** A word on a coloured ground. */
export const badge = ([tone, word]) => h("span.badge", { data: { tone } }, word);

/** Where there is nothing to show, and why. */
export const empty = (title, ...more) => h("div.empty", {}, h("b", {}, title), ...more.map((text) => h("p", {}, text)));

/** What is shown until an answer comes. */
export const loading = (what) => h("p.empty", { role: "status" }, `Loading ${what} …`);

/** An error in words, with what to do about it. */
export function failure(error, again) {
  const hint = error instanceof ApiError ? error.hint : "";
  return h(
    "div.notice",
    { data: { tone: "bad" }, role: "alert" },
    h("b", {}, sentence(error.message)),
    hint ? h("span", {}, sentence(hint)) : null,
    again ? h("p", {}, h("button.button.small", { type: "button", onclick: again }, "Try again")) : null,
  );
}

/** A text with a capital first letter, as errors of the API begin small. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Buttons of which one is chosen, by arrow keys too (WAI-ARIA tabs). */
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
