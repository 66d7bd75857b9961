// Notifications: the latest in the bar, all of them in a tray. None covers the page, and none of a
// failure is dropped before it was read.

import { fill, foreign, h } from "./element.js";
import { action } from "./parts.js";
import { remember, restored } from "./session-list.js";
import { since } from "./times.js";

const KEY = "flowtime-notifications";
const KEPT = 100;
const SECONDS = { info: 8, good: 15 };
const GROUPED_FROM = 3;

/**
 * @typedef {object} Notification
 * @property {"info" | "good" | "warn" | "bad"} kind
 * @property {string} title
 * @property {string} [text]
 * @property {string} [group] Notifications of a group are counted together: `export finished`.
 * @property {{title: string, href: string, download?: boolean}[]} [links]
 */

const news = document.getElementById("news");
const button = document.getElementById("tray-button");
const tray = document.getElementById("tray");
let entries = restored(KEY);
let fresh = [];
let timer = 0;

/** Show a notification. @param {Notification} notification */
export function notify(notification) {
  const entry = { links: [], ...notification, at: new Date().toISOString(), isRead: !tray.hidden };
  entries = kept([entry, ...entries]);
  fresh = [entry, ...fresh];
  remember(KEY, entries);
  show();
  clearTimeout(timer);
  if (!fresh.some(isProblem)) timer = setTimeout(clear, SECONDS[entry.kind] * 1000);
}

/** Close the tray, or else clear the news in the bar. */
export function dismiss() {
  if (!tray.hidden) toggle();
  else clear();
}

/** Connect the button of the tray. */
export function connectTray() {
  button.addEventListener("click", toggle);
  document.addEventListener("pointerdown", ({ target }) => {
    const isInside = tray.contains(target) || button.contains(target);
    if (!tray.hidden && !isInside) toggle();
  });
  show();
}

function clear() {
  fresh = [];
  show();
}

function toggle() {
  tray.hidden = !tray.hidden;
  button.setAttribute("aria-expanded", String(!tray.hidden));
  if (tray.hidden) {
    button.focus();
  } else {
    for (const entry of entries) entry.isRead = true;
    fresh = [];
    remember(KEY, entries);
    tray.focus();
  }
  show();
}

function show() {
  const unread = entries.filter((entry) => !entry.isRead);
  const problems = unread.filter(isProblem).length;
  button.dataset.tone = problems ? "bad" : "";
  button.setAttribute("aria-label", `Notifications, ${unread.length || "none"} unread`);
  fill(button.querySelector(".count"), unread.length || "");
  fill(news, ...headline());
  if (!tray.hidden) fill(tray, ...listed());
}

/** The news in one line: the latest notification, or counts where there are several. */
function headline() {
  if (!fresh.length) return [];
  if (fresh.length === 1) return [line(fresh[0])];
  const groups = Map.groupBy(fresh, (entry) => entry.group ?? entry.title);
  return [...groups].map(([name, own]) => {
    const text = own.length === 1 ? own[0].title : `${own.length} ${plural(name)}`;
    return h("span", { data: { kind: worst(own) } }, foreign(text));
  });
}

function line(entry) {
  return h("span", { data: { kind: entry.kind } }, foreign(entry.title), entry.links.length ? h("span.links", {}, ...entry.links.slice(0, 4).map(link)) : null);
}

function listed() {
  const forget = action("Clear", () => {
    entries = [];
    remember(KEY, entries);
    show();
  });
  const head = h("header", {}, h("h2", {}, "Notifications"), entries.length ? forget : null);
  if (!entries.length) return [head, h("p.muted", {}, "Nothing has happened yet. Finished and failed exports and imports appear here.")];
  const parts = [];
  for (const own of runsOf(entries)) {
    if (own.length < GROUPED_FROM || own.some(isProblem)) parts.push(...own.map(item));
    else parts.push(h("li.tray-group", {}, h("details", {}, h("summary", {}, `${own.length} ${plural(own[0].group)}`), h("ul", {}, ...own.map(item)))));
  }
  return [head, h("ul.tray-list", {}, ...parts)];
}

/** Neighbours of the same group. */
function runsOf(all) {
  const found = [];
  for (const entry of all) {
    const last = found.at(-1);
    if (last && entry.group && last[0].group === entry.group) last.push(entry);
    else found.push([entry]);
  }
  return found;
}

function item(entry) {
  return h(
    "li",
    { data: { kind: entry.kind } },
    h("b", {}, foreign(entry.title)),
    h("small.muted", {}, since(entry.at)),
    entry.text ? h("p", {}, foreign(entry.text)) : null,
    entry.links.length ? h("p.links", {}, ...entry.links.map(link)) : null,
  );
}

function link({ title, href, download }) {
  return h("a", { href, download: download ? "" : null }, foreign(title));
}

const isProblem = (entry) => entry.kind === "bad" || entry.kind === "warn";
const worst = (own) => ["bad", "warn", "good"].find((kind) => own.some((entry) => entry.kind === kind)) ?? "info";
/** `export finished` as `exports finished`. */
const plural = (name) => name.replace(/^(\w+)/, "$1s");

/** All failures, and the latest of the rest. */
function kept(all) {
  let others = 0;
  return all.filter((entry) => isProblem(entry) || (others += 1) <= KEPT);
}
