// Exports and imports that run or are finished, newest first, kept up to date.

import { ask } from "./api.js";
import { advice } from "./advice.js";
import { fill, foreign, h, plain } from "./element.js";
import { cancelJob, isEmpty } from "./exporting.js";
import { live } from "./live.js";
import { notify } from "./notifications.js";
import { action, badge, empty, failure, loading, sentence } from "./parts.js";
import { compareAddress, runAddress } from "./route.js";
import { since } from "./times.js";
import { FORMATS, JOB_STATES, count, counted, duration, progress, size } from "./wording.js";

const RUNS_SHOWN = 5;
const PROBLEMS_SHOWN = 20;

/**
 * @param {object} wanted
 * @param {Record<string, string | number>} wanted.query Query of the API: `runId state kind search page pageSize`.
 * @param {boolean} wanted.withRun Whether what the job is about has a column.
 * @param {AbortSignal} wanted.signal
 * @param {(page: object) => void} [wanted.loaded] Called with each answer.
 * @returns {HTMLElement}
 */
export function jobTable({ query, withRun, signal, loaded }) {
  const place = h("div", {}, loading("jobs"));
  const rows = new Map();
  const isFiltered = ["state", "kind", "search"].some((key) => query[key]);

  async function load() {
    const wanted = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined));
    try {
      const found = await ask(`/v1/jobs?${wanted}`, { signal });
      draw(found.items);
      loaded?.(found);
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, load));
    }
  }

  function draw(jobs) {
    rows.clear();
    if (!jobs.length) {
      fill(place, nothing());
      return;
    }
    for (const job of jobs) rows.set(job.id, row(job, withRun));
    const titles = [withRun ? "Job" : null, "Requested", "State", "Result", ""].filter((title) => title !== null);
    const head = h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title || h("span.sr", {}, "Cancel")))));
    fill(place, h("div.scroll", {}, h("table", {}, head, h("tbody", {}, ...rows.values()))));
  }

  function nothing() {
    if (isFiltered) return empty("No job matches", "Choose other filters.");
    if (withRun) return empty("Nothing was exported or imported yet", h("p", {}, h("a", { href: "#/" }, "Choose a run"), " to export it."));
    return empty("This run was not exported yet", "The Export button does it.");
  }

  function update(job) {
    if (query.runId && job.request.run !== query.runId) return;
    if (!rows.has(job.id)) {
      if ((query.page ?? 1) === 1) load();
      return;
    }
    const fresh = row(job, withRun);
    rows.get(job.id).replaceWith(fresh);
    rows.set(job.id, fresh);
  }

  live.addEventListener("job", (event) => update(event.detail), { signal });
  load();
  return h("div.list", {}, place);
}

function row(job, withRun) {
  const took = job.state === "done" ? `in ${duration(job.started, job.finished)}` : "";
  return h(
    "tr",
    {},
    withRun ? subject(job) : null,
    h("td.when", {}, since(job.created)),
    h("td", {}, h("span.links", {}, badge(JOB_STATES[job.state]), isEmptyExport(job) ? badge(["warn", "0 rows"]) : null, h("span.muted.small", {}, took))),
    h("td", {}, result(job), options(job)),
    h("td", {}, isOpen(job) ? stop(job) : null),
  );
}

function subject(job) {
  if (isComparison(job)) return compared(job);
  const kind = h("span.kind", {}, isImport(job) ? "Import" : job.request.automatic ? "Automatic export" : "Export");
  if (!isImport(job)) return h("td.name", {}, kind, h("a", { href: runAddress(job.request.run) }, foreign(job.request.runId)));
  const [first, ...others] = job.request.files;
  return h("td.name", {}, kind, h("span", {}, foreign(first), others.length ? ` and ${counted(others.length, "other file")}` : null));
}

function compared({ request }) {
  const address = compareAddress(request.run, request.other);
  return h("td.name", {}, h("span.kind", {}, "Comparison"), h("a", { href: address }, foreign(request.run), " and ", foreign(request.other)));
}

function result(job) {
  if (isOpen(job)) return h("span.muted", {}, progress(job).text);
  if (job.state === "failed") return fault(job);
  if (isImport(job)) return runs(job);
  if (isComparison(job)) return counts(job);
  const links = job.files.map((file) => {
    const title = `${FORMATS[file.format].title}, ${size(file.bytes)}`;
    return file.url ? h("a", { href: file.url, download: "", title: `${count(file.rows)} rows` }, title) : h("span", {}, title);
  });
  return h("span.links", {}, ...links);
}

/** What went wrong; the details open on demand. */
function fault({ error }) {
  const text = h("bdi", {}, sentence(error?.error ?? "It failed"));
  const problems = error?.problems ?? [];
  const hint = advice(error);
  if (!problems.length && !hint) return text;
  const rows = problems.slice(0, PROBLEMS_SHOWN).map(problem);
  return h("details", {}, h("summary", {}, text), hint ? h("p.small", {}, hint) : null, rows.length ? h("ul.bullets.small", {}, ...rows) : null);
}

const problem = (one) => h("li", {}, h("b", {}, foreign(one.where)), ": ", foreign(one.message), one.hint ? h("span.muted", {}, " ", foreign(one.hint)) : null);

/** The options of the job, where they differ from the usual. */
function options(job) {
  const { request } = job;
  const parts = [];
  if (isComparison(job)) {
    const { absolute, relative } = request.options.tolerance;
    if (absolute) parts.push(`absolute tolerance ${absolute}`);
    if (relative) parts.push(`relative tolerance ${relative}`);
  } else if (isImport(job)) {
    const { dryRun, ifExists, columns } = request.wishes;
    if (dryRun) parts.push("check only");
    if (ifExists === "replace") parts.push("replaces runs");
    if (ifExists === "skip") parts.push("keeps runs that are there");
    if (columns) parts.push("columns chosen");
  } else {
    if (request.filter) parts.push(`rows where ${request.filter}`);
    if (request.columns) parts.push(`columns ${request.columns.join(", ")}`);
    if (request.metadata) parts.push(`metadata ${request.metadata.join(", ") || "none"}`);
    if (request.escapeFormulas) parts.push("formulas escaped");
    if (request.temporary) parts.push("for one download");
  }
  return parts.length ? h("small.muted.options", {}, foreign(parts.join(" · "))) : null;
}

/** How many series a comparison has found alike, and how many not. */
function counts({ compared }) {
  const { equal = 0, within = 0, different = 0 } = compared?.counts ?? {};
  return h("span.links", {}, different ? badge(["bad", `${count(different)} different`]) : badge(["good", "No difference"]), h("span.muted", {}, `${count(equal + within)} alike`));
}

/** The runs that an import has made; a check has made none. */
function runs(job) {
  if (job.request.wishes.dryRun) return h("span.muted", {}, "Only checked");
  const made = job.imported?.runs ?? [];
  const links = made.slice(0, RUNS_SHOWN).map((run) => h("a", { href: runAddress(run.runId) }, foreign(run.runId)));
  const more = made.length - links.length;
  return h("span.links", {}, ...links, more > 0 ? h("span.muted", {}, `and ${count(more)} more`) : null);
}

function stop(job) {
  const { files, run, other, runId } = job.request;
  const what = isImport(job) ? `import of ${files[0]}` : isComparison(job) ? `comparison of ${run} and ${other}` : `export of ${runId}`;
  const label = `Cancel the ${plain(what)}`;
  const button = action("Cancel", async () => {
    button.disabled = true;
    await cancelJob(job.id).catch((error) => notify({ kind: "bad", title: "The job was not cancelled", text: sentence(error.message) }));
  }, { label });
  return button;
}

const isImport = (job) => job.request.kind === "import";
const isComparison = (job) => job.request.kind === "comparison";
const isOpen = (job) => job.state === "queued" || job.state === "running";
const isEmptyExport = (job) => job.state === "done" && job.request.kind === "export" && isEmpty(job);
