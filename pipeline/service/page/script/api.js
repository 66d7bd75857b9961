// Requests to the service; its errors become one kind of exception.

/** Why a request was not answered as asked. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 where no answer came.
   * @param {{error?: string, hint?: string, problems?: object[]}} body
   */
  constructor(status, body) {
    super(body.error || `the server answered with status ${status}`);
    this.status = status;
    this.hint = body.hint ?? "";
    this.problems = body.problems ?? [];
  }
}

/** Told `token` when the service wants to know who asks. */
export const doors = new EventTarget();

/**
 * Ask the service.
 *
 * @param {string} path Path and query.
 * @param {RequestInit} [options]
 * @returns {Promise<any>} The JSON of the answer.
 * @throws {ApiError}
 */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, { error: "The server cannot be reached", hint: "It may be starting anew; try again." });
  }
  if (answer.status === 401) doors.dispatchEvent(new Event("token"));
  const body = await bodyOf(answer);
  if (!answer.ok) throw new ApiError(answer.status, body);
  return body;
}

/** Ask with a JSON body. */
export function send(path, body, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  return ask(path, { method: "POST", body: JSON.stringify(body), ...options, headers });
}

/** Path of a run, with its id encoded. */
export const runPath = (id, rest = "") => `/v1/runs/${encodeURIComponent(id)}${rest}`;

async function bodyOf(answer) {
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch {
    return {};
  }
}
