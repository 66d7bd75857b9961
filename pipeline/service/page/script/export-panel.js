// Exporting one run: formats, options, one button, progress, and the exports that there are.

import { ask, runPath } from "./api.js";
import { fill, foreign, h } from "./element.js";
import { cancelJob, exportRun } from "./exporting.js";
import { live } from "./live.js";
import { notify } from "./notifications.js";
import { action, failure, sentence } from "./parts.js";
import { since } from "./times.js";
import { FORMATS, count, counted, progress, size } from "./wording.js";

/** Text that a spreadsheet would run. */
const RISKY = /^[=+\-@\t\r]/;

/** @type {(run: object, query: URLSearchParams, signal: AbortSignal) => HTMLElement} */
export function exportPanel(run, query, signal) {
  const button = h("button.button.primary.wide", { type: "submit" }, "Export");
  const state = h("div.stack", { role: "status" });
  const exports = h("div.exports");
  const filter = h("input", { type: "text", name: "filter", spellcheck: false, placeholder: "measure = 'served' AND value > 0" });
  const isRisky = [run.runId, ...run.components, ...run.classes, ...run.measures].some((text) => RISKY.test(text));
  const safe = h("input", { type: "checkbox", name: "safe", checked: isRisky });
  const boxes = Object.entries(FORMATS).map(([key, format]) => choice(key, format));
  const options = h(
    "details",
    { open: isRisky },
    h("summary", {}, "Options"),
    h("label.field", {}, h("span", {}, "Only rows where (SQL)"), filter),
    h("label.check", {}, safe, "CSV for spreadsheets: escape formulas"),
    h("p.muted.small", {}, isRisky ? "Ids of this run begin with =, +, - or @: a spreadsheet would run them as formulas." : "Use it where ids or names come from others: a spreadsheet would run cells that begin with =, +, - or @."),
  );
  const form = h("form.export", { onsubmit: begin }, h("fieldset", {}, h("legend.sr", {}, "Formats"), ...boxes), options, button, state);
  let current = null;

  async function begin(event) {
    event.preventDefault();
    const wishes = { formats: new FormData(form).getAll("format") };
    if (filter.value.trim()) wishes.filter = filter.value.trim();
    if (safe.checked) wishes.escapeFormulas = true;
    button.disabled = true;
    try {
      current = await exportRun(run.id, wishes);
      follow(await ask(`/v1/jobs/${current}`));
    } catch (error) {
      fill(state, failure(error));
      ready();
    }
  }

  function follow(job) {
    if (job.id !== current) return;
    if (job.state === "queued" || job.state === "running") {
      fill(state, bar(job));
      return;
    }
    current = null;
    fill(state, result(job));
    ready();
    refresh();
  }

  function ready() {
    button.disabled = !boxes.some((box) => box.querySelector("input").checked);
  }

  async function refresh() {
    const found = await ask(runPath(run.id, "/exports"), { signal }).catch(() => null);
    if (found) fill(exports, ...found.items.map((one) => exportEntry(run, one, refresh)));
  }

  form.addEventListener("change", () => current === null && ready());
  live.addEventListener(
    "job",
    ({ detail: job }) => {
      if (job.id === current) follow(job);
      else if (job.request.run === run.id && job.state === "done") refresh();
    },
    { signal },
  );
  refresh();
  return h("section.panel.exporting", {}, h("header", {}, h("h2", {}, "Export this run")), form, exports);
}

function choice(key, { title, use }) {
  const box = h("input", { type: "checkbox", name: "format", value: key, checked: true });
  return h("label.choice", {}, box, h("b", {}, title), h("small", {}, use));
}

function result(job) {
  if (job.state === "failed") return failure({ message: job.error?.error ?? "The export failed", code: job.error?.code });
  if (job.state !== "done") return null;
  const isEmpty = job.files.every((file) => file.rows === 0);
  const tone = isEmpty ? "warn" : "good";
  const text = isEmpty ? (job.request.filter ? "0 rows: no row meets the condition." : "0 rows: the run has none.") : `Exported ${counted(job.files[0].rows, "row")}.`;
  return h("div.notice", { data: { tone } }, h("b", {}, text));
}

function bar(job) {
  const { text, share } = progress(job);
  const stop = action("Cancel", () => cancelJob(job.id).catch(() => null));
  return h(
    "div.stack",
    {},
    h("progress", { "aria-label": "Progress of the export", max: 1, ...(share === null ? {} : { value: share }) }),
    h("div.title-line", {}, h("span.muted", {}, text), h("span.push", {}, stop)),
  );
}

/** An export: its files, what it was made with, and a button that deletes it. */
function exportEntry(run, one, refresh) {
  const name = one.variant ? "With options" : "Whole run";
  const rows = one.files[0]?.rows;
  const remove = action("Delete", () => confirmed(), { label: `Delete the export ${one.variant ?? "of the whole run"}` });

  function confirmed() {
    const no = action("Keep", () => confirmation.replaceWith(remove));
    const yes = action("Delete the files", erase);
    const confirmation = h("span.links", { role: "group", "aria-label": "Delete this export?" }, yes, no);
    remove.replaceWith(confirmation);
    no.focus();
  }

  async function erase() {
    try {
      await ask(runPath(run.id, `/exports/${one.variant ?? "plain"}`), { method: "DELETE" });
    } catch (error) {
      notify({ kind: "bad", title: "The export was not deleted", text: sentence(error.message) });
    }
    refresh();
  }

  return h(
    "section.export-entry",
    { "aria-label": one.variant ? `Export with options ${one.variant}` : "Export of the whole run" },
    h("div.title-line", {}, h("b", {}, name), h("small.muted", {}, since(one.exportedUtc)), h("span.push", {}, remove)),
    one.options ? h("ul.bullets.small", {}, ...described(one.options)) : null,
    rows === null || rows === undefined ? null : h("small", { data: { tone: rows ? "" : "warn" } }, counted(rows, "row")),
    h("div.links", {}, ...one.files.map((file) => h("a.button.small", { href: file.url, download: "", "aria-label": `Download ${FORMATS[file.format].title}`, title: file.rows === null ? "" : `${count(file.rows)} rows` }, `${FORMATS[file.format].title}, ${size(file.bytes)}`))),
  );
}

function described({ filter, columns, metadata, escapeFormulas }) {
  const parts = [];
  if (filter) parts.push(["Rows where ", h("code", {}, foreign(filter))]);
  if (columns) parts.push(["Columns ", foreign(columns.join(", "))]);
  if (metadata) parts.push(["Metadata ", foreign(metadata.join(", ") || "none")]);
  if (escapeFormulas) parts.push(["Formulas escaped"]);
  return parts.map((part) => h("li", {}, ...part));
}
