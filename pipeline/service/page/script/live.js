// What happens in the service, as it happens: jobs, and the list of runs.

import { ask } from "./api.js";

const AGAIN_AFTER = 4000;

/**
 * Fires `job` (detail: the job) at each step of a job, `runs` when the list of runs has changed,
 * `health` when the service has a problem or none any more, and `state` (detail: whether events
 * arrive).
 */
export const live = new EventTarget();

let source = null;
let retry = 0;

/** Receive events from now on; after a gap, everything is read again. */
export function listen() {
  source?.close();
  clearTimeout(retry);
  source = new EventSource("/v1/events");
  source.addEventListener("open", () => fire("state", true));
  source.addEventListener("job", (event) => fire("job", JSON.parse(event.data)));
  source.addEventListener("progress", (event) => fire("job", JSON.parse(event.data)));
  source.addEventListener("runs", () => fire("runs", null));
  source.addEventListener("health", () => fire("health", null));
  source.addEventListener("reset", readAgain);
  source.addEventListener("error", () => {
    fire("state", false);
    // A browser reconnects by itself after a lost connection, but not after a refusal.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(listen, AGAIN_AFTER);
  });
}

async function readAgain() {
  fire("runs", null);
  fire("health", null);
  const { items } = await ask("/v1/jobs?pageSize=50").catch(() => ({ items: [] }));
  for (const job of items) fire("job", job);
}

function fire(name, detail) {
  live.dispatchEvent(new CustomEvent(name, { detail }));
}
