// Exports and imports that are at work or over, newest first, kept up to date.

import { ask } from "./api.js";
import { fill, h } from "./element.js";
import { cancelJob } from "./exporting.js";
import { live } from "./live.js";
import { badge, empty, failure, loading, sentence } from "./parts.js";
import { runAddress } from "./route.js";
import { notify } from "./toasts.js";
import { FORMATS, JOB_STATES, count, counted, duration, instant, progress, size } from "./wording.js";

const RUNS_SHOWN = 5;

/**
 * @param {object} wanted
 * @param {string} [wanted.runId] Only exports of this run.
 * @param {string} [wanted.state] Only jobs in this state.
 * @param {number} [wanted.page]
 * @param {number} wanted.pageSize
 * @param {boolean} wanted.withRun Whether the run is a column.
 * @param {AbortSignal} wanted.signal
 * @param {(page: object) => void} [wanted.told] Called with each answer.
 * @returns {HTMLElement}
 */
export function jobTable({ runId, state, page = 1, pageSize, withRun, signal, told }) {
  const place = h("div", {}, loading("jobs"));
  const rows = new Map();

  async function load() {
    const query = new URLSearchParams({ page: String(page), pageSize: String(pageSize) });
    if (runId) query.set("runId", runId);
    if (state) query.set("state", state);
    try {
      const found = await ask(`/v1/jobs?${query}`, { signal });
      draw(found.items);
      told?.(found);
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, load));
    }
  }

  function draw(jobs) {
    rows.clear();
    if (!jobs.length) {
      fill(place, empty("Nothing was exported yet", withRun ? "Exports and imports appear here as they are made." : "The button exports this run."));
      return;
    }
    for (const job of jobs) rows.set(job.id, row(job, withRun));
    const titles = [withRun ? "Run" : null, "Asked for", "State", "Files", ""].filter((title) => title !== null);
    const head = h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title || h("span.sr", {}, "Stop")))));
    fill(place, h("div.scroll", {}, h("table", {}, head, h("tbody", {}, ...rows.values()))));
  }

  function update(job) {
    if (runId && job.request.run !== runId) return;
    if (!rows.has(job.id)) {
      if (page === 1) load();
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
  const run = h("td.name", {}, isImport(job) ? named(job) : h("a", { href: runAddress(job.request.run) }, job.request.runId));
  const took = job.state === "done" ? `in ${duration(job.started, job.finished)}` : "";
  return h(
    "tr",
    {},
    withRun ? run : null,
    h("td.when", {}, instant(job.created)),
    h("td", {}, h("span.links", {}, badge(JOB_STATES[job.state]), h("span.muted.small", {}, took))),
    h("td", {}, files(job)),
    h("td", {}, isOpen(job) ? stop(job) : null),
  );
}

function files(job) {
  if (isOpen(job)) return h("span.muted", {}, progress(job).told);
  if (job.state === "failed") return h("span", {}, sentence(job.error?.error ?? "It failed"));
  if (isImport(job)) return runs(job);
  const links = job.files.map((file) => {
    const title = `${FORMATS[file.format].title}, ${size(file.bytes)}`;
    return file.url ? h("a", { href: file.url, download: "", title: `${count(file.rows)} rows` }, title) : h("span", {}, title);
  });
  return h("span.links", {}, ...links);
}

/** The runs that an import has made; a trial has made none. */
function runs(job) {
  if (job.request.wishes.dryRun) return h("span.muted", {}, "Only checked");
  const made = job.imported?.runs ?? [];
  const links = made.slice(0, RUNS_SHOWN).map((run) => h("a", { href: runAddress(run.runId) }, run.runId));
  const more = made.length - links.length;
  return h("span.links", {}, ...links, more > 0 ? h("span.muted", {}, `and ${count(more)} more`) : null);
}

function stop(job) {
  const button = h("button.button.small", { type: "button", "aria-label": `Cancel the ${named(job)}` }, "Cancel");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await cancelJob(job.id).catch((error) => notify({ kind: "bad", title: "Not cancelled", text: sentence(error.message) }));
  });
  return button;
}

const isImport = (job) => job.request.kind === "import";

function named(job) {
  if (!isImport(job)) return `export of ${job.request.runId}`;
  const [first, ...others] = job.request.files;
  return others.length ? `Import of ${first} and ${counted(others.length, "other file")}` : `Import of ${first}`;
}

const isOpen = (job) => job.state === "queued" || job.state === "running";
