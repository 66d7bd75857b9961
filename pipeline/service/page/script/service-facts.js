// What the page needs to know about the service: which folder it serves, and what it allows.

import { ask } from "./api.js";

let known = null;

/** Return the facts of the service, read once. */
export function serviceFacts() {
  known ??= ask("/v1/service").catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

/** Forget what was read: after signing in, or a change. */
export function forgetFacts() {
  known = null;
}
