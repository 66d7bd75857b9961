// Exports started on this page: begun with one click, followed, and reported when they finish.

import { ask, runPath, send } from "./api.js";
import { live } from "./live.js";
import { notify } from "./notifications.js";
import { sentence } from "./parts.js";
import { remember, restored } from "./session-list.js";
import { FORMATS, counted, size } from "./wording.js";

const KEY = "flowtime-own-jobs";
const AT_ONCE = 4;
const PATIENCE = 3000;
const own = new Set(restored(KEY));

/**
 * Begin an export.
 *
 * @param {string} runId
 * @param {{formats?: string[], filter?: string, metadata?: string[]}} [options]
 * @returns {Promise<string>} Id of the job.
 */
export async function exportRun(runId, options = {}) {
  const answer = await send(runPath(runId, "/export"), options, { headers: { Prefer: "respond-async" } });
  own.add(answer.jobId);
  remember(KEY, own);
  // The job may have finished before this page knew its id.
  report(await ask(`/v1/jobs/${answer.jobId}`));
  return answer.jobId;
}

/** Begin an export; a failure becomes a notification. */
export async function exportAndReport(runId, options) {
  try {
    return await exportRun(runId, options);
  } catch (error) {
    notify({ kind: "bad", title: `${runId} was not exported`, text: sentence(error.message), group: "export failed" });
    return null;
  }
}

/** Export several runs, a few at a time; where the queue is full, wait for room. */
export async function exportRuns(runIds, options = {}) {
  const left = [...runIds];
  async function work() {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      try {
        await exportRun(id, options);
      } catch (error) {
        if (error.status !== 503 && error.status !== 429) {
          notify({ kind: "bad", title: `${id} was not exported`, text: sentence(error.message), group: "export failed" });
          continue;
        }
        left.unshift(id);
        await new Promise((go) => setTimeout(go, PATIENCE));
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Cancel a job. */
export const cancelJob = (id) => ask(`/v1/jobs/${id}`, { method: "DELETE" });

/** Report exports that were begun here, also before the page was loaded anew. */
export function reportExports() {
  live.addEventListener("job", (event) => report(event.detail));
  for (const id of own) {
    ask(`/v1/jobs/${id}`)
      .then(report)
      .catch((error) => error.status === 404 && own.delete(id) && remember(KEY, own));
  }
}

/** Return links to the files of a job. */
export function linksOf(job) {
  return job.files
    .filter((file) => file.url)
    .map((file) => ({ title: `${FORMATS[file.format].title}, ${size(file.bytes)}`, href: file.url, download: true }));
}

/** Whether an export has written no row at all. */
export const isEmpty = (job) => job.files.length > 0 && job.files.every((file) => file.rows === 0);

function report(job) {
  const isOver = ["done", "failed", "cancelled"].includes(job.state);
  if (!isOver || !own.delete(job.id)) return;
  remember(KEY, own);
  const run = job.request.runId;
  if (job.state === "failed") {
    notify({ kind: "bad", title: `${run} was not exported`, text: sentence(job.error?.error ?? "The export failed"), group: "export failed" });
  } else if (job.state === "cancelled") {
    notify({ kind: "info", title: `The export of ${run} was cancelled`, text: "Nothing of it was published.", group: "export cancelled" });
  } else if (isEmpty(job)) {
    const text = job.request.filter ? "No row meets the condition." : "The run has no rows.";
    notify({ kind: "warn", title: `${run} is exported with 0 rows`, text, links: linksOf(job), group: "export without rows" });
  } else {
    const rows = job.files.length ? counted(job.files[0].rows, "row") : "";
    const isSame = job.files.every((file) => file.status === "unchanged");
    const text = isSame ? `${rows}; nothing had changed since the last export` : rows;
    notify({ kind: "good", title: `${run} is exported`, text, links: linksOf(job), group: "export finished" });
  }
}
