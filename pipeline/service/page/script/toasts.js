// Notifications in the corner; they are read out, and stay while something in them is in use.

import { h } from "./element.js";

const SECONDS = { info: 6, good: 12, bad: 20 };

/**
 * @param {object} told
 * @param {"info" | "good" | "bad"} told.kind
 * @param {string} told.title
 * @param {string} [told.text]
 * @param {{title: string, href: string, download?: boolean}[]} [told.links]
 */
export function notify({ kind, title, text, links = [] }) {
  const close = h("button.button.small.plain", { type: "button", "aria-label": "Close notification" }, "Close");
  const toast = h(
    "div.toast",
    { data: { kind } },
    h("b", {}, title),
    close,
    h(
      "div.body",
      {},
      text ? h("span", {}, text) : null,
      links.length ? h("span.links", {}, ...links.map(link)) : null,
    ),
  );
  const box = document.getElementById("toasts");
  box.append(toast);
  close.addEventListener("click", () => toast.remove());
  toast.addEventListener("keydown", (event) => event.key === "Escape" && toast.remove());
  leaveLater(toast, SECONDS[kind]);
  while (box.children.length > 4) box.firstElementChild.remove();
}

/** Take the last notification away; whether there was one. */
export function dismiss() {
  const last = document.getElementById("toasts").lastElementChild;
  last?.remove();
  return Boolean(last);
}

function link({ title, href, download }) {
  return h("a.button.small", { href, download: download ? "" : null }, title);
}

function leaveLater(toast, seconds) {
  setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) leaveLater(toast, 3);
    else toast.remove();
  }, seconds * 1000);
}
