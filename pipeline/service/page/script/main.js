// The page: which view the address asks for, and what all views share.

import { h } from "./element.js";
import { tellOfExports } from "./exporting.js";
import { historyView } from "./history-view.js";
import { importView } from "./import-view.js";
import { listen, live } from "./live.js";
import { empty } from "./parts.js";
import { currentRoute } from "./route.js";
import { runView } from "./run-view.js";
import { runsView } from "./runs-view.js";
import { guard } from "./session.js";
import { switchBy } from "./theme.js";
import { dismiss } from "./toasts.js";

const VIEWS = {
  runs: [runsView, "Runs"],
  run: [runView, "Run"],
  history: [historyView, "History"],
  import: [importView, "Import"],
  unknown: [(main) => main.append(empty("There is no such page", "The menu leads to all there are.")), "Not found"],
};

const main = document.getElementById("content");
let leaving = new AbortController();

/** Draw the view of the address; what the one before still listens to ends. */
function show({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const route = currentRoute();
  const [view, title] = VIEWS[route.view];
  document.title = `${route.id || title} · FlowTime export`;
  for (const link of document.querySelectorAll("[data-nav]")) {
    const isHere = link.dataset.nav === (route.view === "run" ? "runs" : route.view);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  view(main, route, leaving.signal);
  if (focus) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function onKey(event) {
  const isTyping = event.target.closest?.("input, select, textarea, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
  if (event.key === "Escape" && !event.target.closest?.("dialog")) dismiss();
}

function showLink() {
  const told = document.getElementById("link-state");
  let later = 0;
  live.addEventListener("state", ({ detail: isOpen }) => {
    clearTimeout(later);
    // A short break, as at a restart, is not worth a word.
    later = setTimeout(() => told.replaceChildren(isOpen ? "" : h("span", {}, "No live updates")), isOpen ? 0 : 3000);
  });
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", () => show());
guard(() => {
  listen();
  show();
});
switchBy(document.getElementById("theme"));
showLink();
tellOfExports();
listen();
show({ focus: false });
