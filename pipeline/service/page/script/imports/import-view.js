// Importing: files dropped or chosen, checked by the service, and what it found.

import { ApiError, ask } from "../api.js";
import { fill, foreign, h } from "../element.js";
import { live } from "../live.js";
import { notify } from "../notifications.js";
import { action, failure, sentence } from "../parts.js";
import { runAddress } from "../route.js";
import { serviceFacts } from "../service-facts.js";
import { count, counted, progress, size } from "../wording.js";
import { ColumnMapping } from "./column-mapping.js";
import { importOptions, labelled } from "./import-options.js";

const ACCEPTED = ".csv,.tsv,.txt,.gz,.zst,.ndjson,.jsonl,.parquet,.json";

/** @type {(main: HTMLElement, route: import("../route.js").Route, signal: AbortSignal) => void} */
export function importView(main, route, signal) {
  let files = [];
  const mapping = new ColumnMapping();
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
  const options = importOptions();
  const form = h("form.stack", { onsubmit: submit }, drop, mapping.element, options, h("div.title-line", {}, start, check));

  function choose(list) {
    files = [...list];
    fill(chosen, ...files.map((file) => h("li", {}, foreign(file.name), `, ${size(file.size)}`)));
    check.disabled = start.disabled = files.length === 0;
    fill(report);
    mapping.show(files);
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

  function submit(event) {
    event.preventDefault();
    send({ isDry: event.submitter?.value === "check" });
  }

  /** Send the files; `ifExists` overrides the form, for the buttons after a conflict. */
  async function send({ isDry, ifExists }) {
    const body = new FormData(form);
    for (const [key, value] of [...body]) if (value === "") body.delete(key);
    for (const file of files) body.append("files", file, file.name);
    if (isDry) body.set("dryRun", "true");
    if (ifExists) body.set("ifExists", ifExists);
    if (mapping.value) body.set("columns", JSON.stringify(mapping.value));
    check.disabled = start.disabled = true;
    const following = new AbortController();
    fill(report, waiting(isDry, following.signal));
    try {
      const found = await ask("/v1/import", { method: "POST", body, signal });
      fill(report, ...result(found));
      if (!isDry) notify({ kind: "good", title: found.message, links: found.runs.map(linkTo), group: "import finished" });
    } catch (error) {
      if (signal.aborted) return;
      fill(report, ...refusal(error, (choice) => send({ isDry, ifExists: choice })));
      if (!isDry) notify({ kind: "bad", title: `${files[0].name} was not imported`, text: labelled(sentence(error.message)), group: "import failed" });
    } finally {
      following.abort();
      check.disabled = start.disabled = false;
    }
  }

  /** What is shown until the answer arrives: bytes and rows, as the job reports them. */
  function waiting(isDry, done) {
    const text = h("p.muted", {}, isDry ? "Checking …" : "Importing …");
    const total = files.reduce((sum, file) => sum + file.size, 0);
    fill(text, `Sending ${counted(files.length, "file")}, ${size(total)} …`);
    live.addEventListener(
      "job",
      ({ detail: job }) => {
        const isOurs = job.request.kind === "import" && job.request.files[0] && job.request.bytes === total;
        if (isOurs) fill(text, `${progress(job).text} …`);
      },
      { signal: done },
    );
    return text;
  }

  main.append(
    h("header", {}, h("h1", {}, "Import"), h("p.lead", {}, "An export becomes the run that it was made of; any other table becomes a telemetry run.")),
    form,
    report,
  );
  serviceFacts().then(
    ({ maxUploadBytes }) => {
      if (maxUploadBytes === 0) fill(main, h("h1", {}, "Import"), failure(new ApiError(404, { error: "This server takes no uploads", code: "uploads-disabled" })));
      else drop.querySelector("p").append(` Up to ${size(maxUploadBytes)}.`);
    },
    () => null,
  );
}

function result(found) {
  const isEmpty = found.runs.every((run) => run.rows === 0);
  return [
    h("div.notice", { data: { tone: isEmpty ? "warn" : "good" } }, h("b", {}, isEmpty ? `${found.message}: 0 rows` : found.message), ...found.notes.map((note) => h("span", {}, foreign(note)))),
    h(
      "section.panel",
      {},
      h("header", {}, h("h2", {}, counted(found.runs.length, "run"))),
      h("ul.stack", {}, ...found.runs.map((run) => runEntry(run, found.dryRun))),
    ),
  ];
}

const STATUSES = { written: "Imported", replaced: "Replaced the run that was there", skipped: "Was there already", checked: "Can be imported" };

function runEntry(run, isDry) {
  const name = isDry || run.status === "checked" ? h("b", {}, foreign(run.runId)) : h("a", { href: runAddress(run.runId) }, foreign(run.runId));
  const text = `${STATUSES[run.status]}: ${counted(run.series, "series", "series")}, ${counted(run.rows, "row")}`;
  return h("li", {}, name, h("p.muted.small", {}, text), h("ul.bullets.small", {}, ...run.notes.map((note) => h("li", {}, foreign(note)))));
}

function refusal(error, again) {
  const shown = new ApiError(error.status ?? 0, { error: labelled(error.message), code: error.code });
  if (error.code === "run-exists") return [conflict(shown, again)];
  const problems = error.problems ?? [];
  if (!problems.length) return [failure(shown)];
  const total = Math.max(problems.length, Object.values(error.problemCounts).reduce((sum, one) => sum + one, 0));
  const titles = ["Where", "What is wrong", "What would be right"].map((title) => h("th", { scope: "col" }, title));
  const rows = problems.map((one) => h("tr", {}, h("td.mono", {}, foreign(one.where)), h("td", {}, foreign(one.message)), h("td", {}, foreign(labelled(one.hint ?? "")))));
  const title = total > problems.length ? `${count(total)} problems, the first ${count(problems.length)}` : counted(total, "problem");
  return [
    failure(shown),
    h(
      "section.panel",
      {},
      h("header", {}, h("h2", {}, title)),
      h("div.scroll", {}, h("table", {}, h("thead", {}, h("tr", {}, ...titles)), h("tbody", {}, ...rows))),
    ),
  ];
}

/** A run of this id is there: replace it, or keep it. */
function conflict(error, again) {
  return h(
    "div.notice",
    { data: { tone: "warn" }, role: "alert" },
    h("b", {}, foreign(sentence(error.message))),
    h("span", {}, "Replacing keeps the run's own exports. Keeping imports the other runs of the files only."),
    h("p.links", {}, action("Replace", () => again("replace"), { kind: "small.primary" }), action("Keep", () => again("skip"))),
  );
}

const linkTo = (run) => ({ title: run.runId, href: runAddress(run.runId) });
