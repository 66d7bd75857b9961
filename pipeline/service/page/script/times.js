// Times relative to now, kept up to date, with the exact time on hover.

import { h } from "./element.js";
import { instant, relative } from "./wording.js";

const REFRESH = 30_000;

/** Make an element with a relative time; its title is the exact one. */
export function since(text) {
  if (!text) return null;
  return h("time", { dateTime: text, title: instant(text), data: { relative: "" } }, relative(text));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-relative]")) element.textContent = relative(element.dateTime);
}, REFRESH);
