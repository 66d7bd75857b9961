// The export of one run as soon as it is complete: a job of the service that waits for the run.

import { ask } from "./api.js";
import { cancelJob, exportRun } from "./exporting.js";

const MOST = 500;

/** Return the job that waits for a run, or null. */
export async function waitingJob(run) {
  const query = new URLSearchParams({ state: "queued", pageSize: String(MOST) });
  const { items } = await ask(`/v1/jobs?${query}`);
  return items.find(({ request }) => request.when === "complete" && request.path === run.path) ?? null;
}

/** Have a run exported when it completes, or no longer. */
export async function setWaiting(run, isWanted) {
  if (isWanted) {
    await exportRun(run.id, { when: "complete" });
    return;
  }
  const job = await waitingJob(run);
  if (job) await cancelJob(job.id);
}
