// What happens in the service, as it happens: jobs, and the list of runs.

import { ask } from "./api.js";

const AGAIN_AFTER = 4000;

/**
 * Told `job` (detail: the job) at each step of a job, `runs` when other runs were found, and
 * `state` (detail: whether events come in).
 */
export const live = new EventTarget();

let source = null;
let retry = 0;

/** Listen from now on; after a break everything is looked at anew. */
export function listen() {
  source?.close();
  clearTimeout(retry);
  source = new EventSource("/v1/events");
  source.addEventListener("open", () => tell("state", true));
  source.addEventListener("job", (event) => tell("job", JSON.parse(event.data)));
  source.addEventListener("progress", (event) => tell("job", JSON.parse(event.data)));
  source.addEventListener("runs", () => tell("runs", null));
  source.addEventListener("reset", lookAnew);
  source.addEventListener("error", () => {
    tell("state", false);
    // A browser tries again by itself after a lost connection, but not after a refusal.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(listen, AGAIN_AFTER);
  });
}

async function lookAnew() {
  tell("runs", null);
  const { items } = await ask("/v1/jobs?pageSize=50").catch(() => ({ items: [] }));
  for (const job of items) tell("job", job);
}

function tell(name, detail) {
  live.dispatchEvent(new CustomEvent(name, { detail }));
}
