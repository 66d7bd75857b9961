// The page: which view the address names, and what all views share.

import { artifactView } from "./artifacts/artifact-view.js";
import { artifactsView } from "./artifacts/artifacts-view.js";
import { compareView } from "./compare/compare-view.js";
import { reportExports } from "./exporting.js";
import { watchHealth } from "./health.js";
import { historyView } from "./history-view.js";
import { importView } from "./imports/import-view.js";
import { listen } from "./live.js";
import { connectTray, dismiss } from "./notifications.js";
import { plain } from "./element.js";
import { empty } from "./parts.js";
import { currentRoute } from "./route.js";
import { runView } from "./run-view.js";
import { runsView } from "./runs/runs-view.js";
import { forgetFacts } from "./service-facts.js";
import { guard } from "./session.js";
import { switchBy } from "./theme.js";

const VIEWS = {
  runs: [runsView, "Runs"],
  run: [runView, "Run"],
  artifacts: [artifactsView, "Artifacts"],
  artifact: [artifactView, "Artifact"],
  compare: [compareView, "Comparison"],
  history: [historyView, "History"],
  import: [importView, "Import"],
  unknown: [(main) => main.append(empty("There is no such page", "The menu leads to the pages that there are.")), "Not found"],
};

/** The entry of the menu that each view belongs to. */
const ROOMS = { run: "runs", compare: "runs", artifact: "artifacts" };

const main = document.getElementById("content");
let leaving = new AbortController();

/** Draw the view of the address; the view before it stops listening. */
function show({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const route = currentRoute();
  const [view, title] = VIEWS[route.view];
  document.title = `${plain(route.id) || title} · FlowTime export`;
  for (const link of document.querySelectorAll("[data-nav]")) {
    const isHere = link.dataset.nav === (ROOMS[route.view] ?? route.view);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.dataset.view = route.view;
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

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("keydown", onKey);
// Fires for links and for the back button, but not for the states that views put there themselves.
window.addEventListener("hashchange", () => show());
guard(() => {
  forgetFacts();
  listen();
  show();
});
switchBy(document.getElementById("theme"));
connectTray();
watchHealth();
reportExports();
listen();
show({ focus: false });
