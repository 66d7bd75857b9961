// One run: its chart, how its exports will look, exporting it, and what is known about it.

import { ask, runPath } from "./api.js";
import { chartView } from "./chart/chart-view.js";
import { fill, foreign, h, plain } from "./element.js";
import { exportPanel } from "./export-panel.js";
import { jobTable } from "./job-table.js";
import { live } from "./live.js";
import { badge, failure, loading, sentence } from "./parts.js";
import { previewPanel } from "./preview-panel.js";
import { since } from "./times.js";
import { setWaiting, waitingJob } from "./when-complete.js";
import { RUN_STATES, count, counted, instant, isDigest, shortened, size, width } from "./wording.js";

const JOBS_SHOWN = 8;

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function runView(main, route, signal) {
  const place = h("div.stack", {}, loading("the run"));
  main.append(h("p.small", {}, h("a", { href: "#/" }, "All runs")), place);

  async function load() {
    try {
      const run = await ask(runPath(route.id), { signal });
      fill(place, ...(run.grid ? readable(run, route.query, signal) : unreadable(run, load, signal)));
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, load));
    }
  }

  load();
}

function readable(run, query, signal) {
  const chart = chartView(run, query, signal);
  const exporting = exportPanel(run, query, signal);
  return [
    title(run),
    run.state === "complete" ? null : fault(run),
    h(
      "div.columns",
      {},
      h("div.stack", {}, chart, previewPanel(run, query, signal), history(run, signal)),
      h("div.stack", {}, exporting, warnings(run), facts(run)),
    ),
  ];
}

function unreadable(run, load, signal) {
  const parts = [title(run), fault(run)];
  if (run.state === "incomplete") {
    parts.push(whenComplete(run));
    live.addEventListener("runs", load, { signal });
  }
  return parts;
}

function fault(run) {
  const isYoung = run.state === "incomplete";
  const what = run.grid ? "The last export of this run failed" : isYoung ? "This run is still being written" : "This run cannot be exported";
  return h(
    "div.notice",
    { data: { tone: isYoung ? "warn" : "bad" }, role: "status" },
    h("b", {}, what),
    h("span", {}, foreign(sentence(run.reason ?? ""))),
    run.grid ? h("span", {}, "Repair the run's files, or evaluate its model again; then export it once more.") : null,
  );
}

function whenComplete(run) {
  const wish = h("input", { type: "checkbox", role: "switch", disabled: true, onchange: change });
  const state = h("div", { role: "status" });

  async function change() {
    wish.disabled = true;
    fill(state);
    await shown(setWaiting(run, wish.checked));
    await show();
  }

  async function show() {
    wish.checked = Boolean(await shown(waitingJob(run)));
    wish.disabled = false;
  }

  const shown = (work) => work.catch((error) => void fill(state, failure(error)));

  show();
  return h(
    "section.panel",
    {},
    h("label.check", {}, wish, h("b", {}, "Export when the run completes")),
    h("p.muted.small", {}, "In all formats, whether this page is open or not."),
    state,
  );
}

function title(run) {
  const words = run.modelTitle ?? run.templateTitle;
  const state = run.state === "complete" ? null : badge(RUN_STATES[run.state]);
  return h(
    "header",
    {},
    h("div.title-line", {}, h("h1", {}, foreign(run.id)), state),
    h("p.lead", {}, foreign(words), words ? " · " : null, foreign(run.path), run.createdUtc ? " · created " : null, since(run.createdUtc)),
  );
}

function warnings(run) {
  const texts = [...run.warnings, ...run.notes];
  if (!texts.length) return null;
  return h(
    "section.panel",
    {},
    h("header", {}, h("h2", {}, run.warnings.length ? counted(run.warnings.length, "warning") : "Notes")),
    h("ul.bullets", {}, ...texts.map((text) => h("li", {}, foreign(text)))),
  );
}

function facts(run) {
  const known = {
    Created: instant(run.createdUtc),
    Grid: `${counted(run.grid.bins, "bin")} of ${width(run.grid.binMinutes)}`,
    "First bin": instant(run.timeOrigin),
    Series: count(run.seriesCount),
    Rows: count(run.rows),
    Size: size(run.bytes),
    Components: count(run.components.length),
    Classes: run.classes.join(", "),
    Source: run.source,
    Engine: run.engineVersion,
    Mode: run.mode,
    Template: run.templateId,
    Seed: run.seed,
    Scenario: run.scenarioHash,
    Model: run.modelHash === run.scenarioHash ? null : run.modelHash,
  };
  const pairs = Object.entries(known).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const rows = pairs.flatMap(([key, value]) => [h("dt", {}, key), isDigest(value) ? h("dd.mono", { title: plain(value) }, shortened(value)) : h("dd", {}, foreign(value))]);
  return h("section.panel", {}, h("header", {}, h("h2", {}, "About this run")), h("dl.facts", {}, ...rows));
}

function history(run, signal) {
  const table = jobTable({ query: { runId: run.id, pageSize: JOBS_SHOWN }, withRun: false, signal });
  return h("section.panel", {}, h("header", {}, h("h2", {}, "Export history")), table);
}
