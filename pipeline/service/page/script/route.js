// Addresses of views: `#/runs/<id>?key=value`. A view keeps its whole state in the query.

/**
 * @typedef {object} Route
 * @property {string} view `runs`, `run`, `artifacts`, `artifact`, `history`, `import`, `compare` or `unknown`.
 * @property {string} id Id of a run or an artifact, where the view shows one.
 * @property {string} [baseline] Id of a run, where the view compares two; likewise `comparison`.
 * @property {URLSearchParams} query
 */

/** @returns {Route} */
export function currentRoute() {
  const [, room, baseline = "", comparison = ""] = location.pathname.split("/").map(decoded);
  if (room === "compare") return { view: "compare", id: `${baseline} and ${comparison}`, baseline, comparison, query: new URLSearchParams(location.search) };
  const [path, query = ""] = location.hash.replace(/^#/, "").split(/\?(.*)/s, 2);
  const [first = "", second = ""] = path.split("/").filter(Boolean);
  const views = { "": "runs", runs: second ? "run" : "runs", artifacts: second ? "artifact" : "artifacts", history: "history", import: "import" };
  return { view: views[first] ?? "unknown", id: decoded(second), query: new URLSearchParams(query) };
}

/** Return the address of a run's own view. */
export const runAddress = (id) => `/page/#/runs/${encodeURIComponent(id)}`;

/** Return the address of an artifact's own view. */
export const artifactAddress = (id) => `/page/#/artifacts/${encodeURIComponent(id)}`;

/** Return the address of the list of the artifacts that a query finds. */
export const artifactsAddress = (query) => `/page/#/artifacts?${new URLSearchParams(query)}`;

/** Return the address of the comparison of two runs or exports. */
export const compareAddress = (baseline, comparison) =>
  `/compare/${encodeURIComponent(baseline)}/${encodeURIComponent(comparison)}`;

/**
 * Put the state of a view into the address.
 *
 * @param {URLSearchParams} query
 * @param {boolean} [isStep] Whether the browser's back button returns to the state before.
 */
export function rememberQuery(query, isStep = false) {
  const path = location.hash.split("?", 1)[0] || "#/";
  const text = query.toString();
  const address = text ? `${path}?${text}` : path;
  if (address === location.hash) return;
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/**
 * Take over changes of the state of a list; it begins at its first page unless they name another.
 *
 * @param {URLSearchParams} query
 * @param {Record<string, string | number | false>} changes What is empty or false is removed.
 * @param {boolean} [isStep] Whether the browser's back button returns to the state before.
 */
export function changeQuery(query, changes, isStep = true) {
  if (!("page" in changes)) query.delete("page");
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  rememberQuery(query, isStep);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
