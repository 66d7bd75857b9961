// One run: what it is, its chart, how its exports will look, and exporting it.

import { ask, runPath } from "./api.js";
import { chartPanel } from "./chart-panel.js";
import { fill, h } from "./element.js";
import { exportPanel } from "./export-panel.js";
import { jobTable } from "./job-table.js";
import { live } from "./live.js";
import { badge, failure, loading, sentence } from "./parts.js";
import { previewPanel } from "./preview-panel.js";
import { setWaiting, waitingJob } from "./waiting.js";
import { RUN_STATES, count, counted, instant, size, width } from "./wording.js";

const JOBS_SHOWN = 8;

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function runView(main, route, signal) {
  const place = h("div.stack", {}, loading("the run"));
  main.append(h("p.small", {}, h("a", { href: "#/" }, "All runs")), place);

  async function load() {
    try {
      const run = await ask(runPath(route.id), { signal });
      fill(place, ...(run.state === "complete" ? complete(run, signal) : unfinished(run, load, signal)));
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, load));
    }
  }

  load();
}

function complete(run, signal) {
  return [
    title(run),
    h(
      "div.columns",
      {},
      h("div.stack", {}, chartPanel(run, signal), previewPanel(run, signal), history(run, signal)),
      h("div.stack", {}, exportPanel(run, signal), warnings(run), facts(run)),
    ),
  ];
}

function unfinished(run, load, signal) {
  const isBroken = run.state !== "incomplete";
  const parts = [
    title(run),
    h(
      "div.notice",
      { data: { tone: isBroken ? "bad" : "warn" }, role: "status" },
      h("b", {}, isBroken ? "This run cannot be exported" : "This run is still being written"),
      h("span", {}, sentence(run.reason ?? "")),
    ),
  ];
  if (!isBroken) {
    parts.push(whenComplete(run));
    live.addEventListener("runs", load, { signal });
  }
  return parts;
}

function whenComplete(run) {
  const wish = h("input", { type: "checkbox", role: "switch", disabled: true, onchange: change });
  const state = h("div", { role: "status" });

  async function change() {
    wish.disabled = true;
    fill(state);
    await told(setWaiting(run, wish.checked));
    await show();
  }

  async function show() {
    wish.checked = Boolean(await told(waitingJob(run)));
    wish.disabled = false;
  }

  const told = (work) => work.catch((error) => void fill(state, failure(error)));

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
  return h(
    "header",
    {},
    h("div.title-line", {}, h("h1", {}, run.id), badge(RUN_STATES[run.state])),
    h("p.lead", {}, [words, run.path].filter(Boolean).join(" · ")),
  );
}

function warnings(run) {
  const told = [...run.warnings, ...run.notes];
  if (!told.length) return null;
  return h(
    "section.panel",
    {},
    h("header", {}, h("h2", {}, run.warnings.length ? counted(run.warnings.length, "warning") : "Notes")),
    h("ul.bullets", {}, ...told.map((text) => h("li", {}, text))),
  );
}

function facts(run) {
  const known = {
    Created: instant(run.createdUtc),
    Grid: `${count(run.grid.bins)} bins of ${width(run.grid.binMinutes)}`,
    Begins: instant(run.timeOrigin),
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
  const rows = pairs.flatMap(([key, value]) => {
    const isHash = String(value).startsWith("sha256:");
    return [h("dt", {}, key), isHash ? h("dd.mono", { title: value }, shortened(value)) : h("dd", {}, value)];
  });
  return h("section.panel", {}, h("header", {}, h("h2", {}, "About this run")), h("dl.facts", {}, ...rows));
}

const shortened = (hash) => `${hash.slice("sha256:".length, 19)}…`;

function history(run, signal) {
  const table = jobTable({ runId: run.id, pageSize: JOBS_SHOWN, withRun: false, signal });
  return h("section.panel", {}, h("header", {}, h("h2", {}, "Export history")), table);
}
