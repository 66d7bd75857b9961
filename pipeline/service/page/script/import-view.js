// Importing: files dropped or chosen, checked by the service, and what it found.

import { ApiError, ask } from "./api.js";
import { fill, h } from "./element.js";
import { failure } from "./parts.js";
import { runAddress } from "./route.js";
import { notify } from "./toasts.js";
import { count, counted, size } from "./wording.js";

const ACCEPTED = ".csv,.gz,.zst,.ndjson,.jsonl,.parquet,.json";
const EXISTING = { error: "Stop", skip: "Keep it", replace: "Replace it" };

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function importView(main, route, signal) {
  let files = [];
  const chosen = h("ul.small", { "aria-label": "Chosen files" });
  const report = h("div.stack", { role: "status" });
  const input = h("input.sr", { type: "file", id: "files", multiple: true, accept: ACCEPTED, onchange: () => choose(input.files) });
  const check = h("button.button", { type: "submit", value: "check", disabled: true }, "Check only");
  const start = h("button.button.primary", { type: "submit", value: "import", disabled: true }, "Import");
  const drop = h(
    "div.drop",
    { ondragover: over, ondragleave: () => delete drop.dataset.over, ondrop: dropped },
    h("b", {}, "Drop an export or a table here"),
    h("p.muted", {}, "CSV, NDJSON or Parquet, with its descriptor (.datapackage.json) if there is one."),
    h("label.button", { htmlFor: "files" }, "Choose files"),
    input,
    chosen,
  );
  const form = h("form.stack", { onsubmit: submit }, drop, options(), h("div.title-line", {}, start, check));

  function choose(list) {
    files = [...list];
    fill(chosen, ...files.map((file) => h("li", {}, `${file.name}, ${size(file.size)}`)));
    check.disabled = start.disabled = files.length === 0;
    fill(report);
  }

  function over(event) {
    event.preventDefault();
    drop.dataset.over = "";
  }

  function dropped(event) {
    event.preventDefault();
    delete drop.dataset.over;
    choose(event.dataTransfer.files);
  }

  async function submit(event) {
    event.preventDefault();
    const isDry = event.submitter?.value === "check";
    const body = new FormData(form);
    for (const [key, value] of [...body]) if (value === "") body.delete(key);
    for (const file of files) body.append("files", file, file.name);
    if (isDry) body.set("dryRun", "true");
    check.disabled = start.disabled = true;
    fill(report, h("p.muted", {}, isDry ? "Checking …" : "Importing …"));
    try {
      const found = await ask("/v1/import", { method: "POST", body, signal });
      fill(report, ...result(found));
      if (!isDry) notify({ kind: "good", title: found.message, links: found.runs.map(linkTo) });
    } catch (error) {
      if (!signal.aborted) fill(report, ...refusal(error));
    } finally {
      check.disabled = start.disabled = false;
    }
  }

  main.append(
    h("header", {}, h("h1", {}, "Import"), h("p.lead", {}, "An export becomes the run that it was made of; any other table becomes a telemetry run.")),
    form,
    report,
  );
}

function options() {
  const existing = Object.entries(EXISTING).map(([value, title]) => h("option", { value }, title));
  const field = (name, title, placeholder) =>
    h("label.field", {}, h("span", {}, title), h("input", { type: "text", name, placeholder }));
  return h(
    "details",
    {},
    h("summary", {}, "Options"),
    h(
      "div.pair",
      {},
      h("label.field", {}, h("span", {}, "If the run is there already"), h("select", { name: "ifExists" }, ...existing)),
      field("runId", "Id of a telemetry run", "made from the file"),
      field("binSize", "Width of a bin", "found from the times, or 5m, 1h"),
      field("timeOrigin", "Start of the first bin", "the earliest time, or 2025-01-01"),
      field("timeZone", "Time zone of times without one", "UTC"),
    ),
  );
}

function result(found) {
  return [
    h("div.notice", { data: { tone: "good" } }, h("b", {}, found.message)),
    h(
      "section.panel",
      {},
      h("header", {}, h("h2", {}, counted(found.runs.length, "run"))),
      h("ul.stack", {}, ...found.runs.map((run) => runEntry(run, found.dryRun))),
    ),
  ];
}

function runEntry(run, isDry) {
  const name = isDry || run.status === "checked" ? h("b", {}, run.runId) : h("a", { href: runAddress(run.runId) }, run.runId);
  const told = `${run.status}, ${counted(run.series, "series", "series")}, ${counted(run.rows, "row")}`;
  return h("li", {}, name, h("p.muted.small", {}, told), h("ul.bullets.small", {}, ...run.notes.map((note) => h("li", {}, note))));
}

function refusal(error) {
  const isMissing = error instanceof ApiError && [404, 405].includes(error.status);
  if (isMissing) return [failure(new ApiError(404, { error: "This server takes no uploads", hint: "" }))];
  const problems = error.problems ?? [];
  if (!problems.length) return [failure(error)];
  const titles = ["Where", "What", "What to do"].map((title) => h("th", { scope: "col" }, title));
  const rows = problems.map((one) => h("tr", {}, h("td.mono", {}, one.where), h("td", {}, one.message), h("td", {}, one.hint ?? "")));
  return [
    failure(error),
    h(
      "section.panel",
      {},
      h("header", {}, h("h2", {}, `${count(problems.length)} ${problems.length === 1 ? "problem" : "problems"}`)),
      h("div.scroll", {}, h("table", {}, h("thead", {}, h("tr", {}, ...titles)), h("tbody", {}, ...rows))),
    ),
  ];
}

const linkTo = (run) => ({ title: run.runId, href: runAddress(run.runId) });
