// Exports that were begun here: started with one click, followed, and told of when they are over.

import { ask, runPath, send } from "./api.js";
import { live } from "./live.js";
import { sentence } from "./parts.js";
import { notify } from "./toasts.js";
import { FORMATS, count, size } from "./wording.js";

const ours = new Set();

/**
 * Begin an export.
 *
 * @param {string} runId
 * @param {{formats?: string[], filter?: string, metadata?: string[]}} [options]
 * @returns {Promise<string>} Id of the job.
 */
export async function exportRun(runId, options = {}) {
  const answer = await send(runPath(runId, "/export"), options, { headers: { Prefer: "respond-async" } });
  ours.add(answer.jobId);
  // The job may have been over before this page knew that it is its own.
  const job = await ask(`/v1/jobs/${answer.jobId}`);
  told(job);
  return answer.jobId;
}

/** The same, with errors as notifications: for buttons that have no place of their own for them. */
export async function exportAndTell(runId, options) {
  try {
    return await exportRun(runId, options);
  } catch (error) {
    notify({ kind: "bad", title: `${runId} was not exported`, text: sentence(error.message) });
    return null;
  }
}

/** Stop an export. */
export const cancelJob = (id) => ask(`/v1/jobs/${id}`, { method: "DELETE" });

/** Tell of exports that were begun here, from now on. */
export function tellOfExports() {
  live.addEventListener("job", (event) => told(event.detail));
}

/** Links to the files of a job. */
export function linksOf(job) {
  return job.files
    .filter((file) => file.url)
    .map((file) => ({ title: `${FORMATS[file.format].title}, ${size(file.bytes)}`, href: file.url, download: true }));
}

function told(job) {
  const isOver = ["done", "failed", "cancelled"].includes(job.state);
  if (!isOver || !ours.delete(job.id)) return;
  const run = job.request.runId;
  if (job.state === "done") {
    const rows = job.files.length ? `${count(job.files[0].rows)} rows` : "";
    const unchanged = job.files.every((file) => file.status === "unchanged");
    const text = unchanged ? `${rows}; nothing had changed since the last export` : rows;
    notify({ kind: "good", title: `${run} is exported`, text, links: linksOf(job) });
  } else if (job.state === "failed") {
    notify({ kind: "bad", title: `${run} was not exported`, text: sentence(job.error?.error ?? "it failed") });
  } else {
    notify({ kind: "info", title: `The export of ${run} was cancelled`, text: "Nothing of it was published." });
  }
}
