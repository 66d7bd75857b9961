// Requests to the service; every failure becomes one kind of exception.

/** A request that failed. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 where the server did not answer.
   * @param {{error?: string, code?: string, hint?: string, problems?: object[]}} body
   */
  constructor(status, body) {
    super(body.error || `The server answered with status ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.hint = body.hint ?? "";
    this.problems = body.problems ?? [];
    this.problemCounts = body.problemCounts ?? {};
  }
}

/** Fires `token` when the service requires a token. */
export const doors = new EventTarget();

/**
 * Send a request and return the JSON of the response.
 *
 * @param {string} path Path and query.
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, { error: "The server cannot be reached", code: "unreachable" });
  }
  if (response.status === 401) doors.dispatchEvent(new Event("token"));
  const body = await bodyOf(response, options.signal);
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

/** Send a JSON body. */
export function send(path, body, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  return ask(path, { method: "POST", body: JSON.stringify(body), ...options, headers });
}

/** Return the path of an artifact, with its id encoded. */
export const artifactPath = (id, rest = "") => `/v1/artifacts/${encodeURIComponent(id)}${rest}`;

/** Return the path of a run, with its id encoded. */
export const runPath = (id, rest = "") => `/v1/runs/${encodeURIComponent(id)}${rest}`;

async function bodyOf(response, signal) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    return {};
  }
}
