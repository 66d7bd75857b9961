// Addresses of views: `#/runs/<id>?key=value`.

/**
 * @typedef {object} Route
 * @property {string} view `runs`, `run`, `history`, `import` or `unknown`.
 * @property {string} id Id of a run, where the view is one run's.
 * @property {URLSearchParams} query
 */

/** @returns {Route} */
export function currentRoute() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  const [first = "", second = ""] = path.split("/").filter(Boolean);
  const views = { "": "runs", runs: second ? "run" : "runs", history: "history", import: "import" };
  return { view: views[first] ?? "unknown", id: decoded(second), query: new URLSearchParams(query) };
}

/** Address of a run's own view. */
export const runAddress = (id) => `#/runs/${encodeURIComponent(id)}`;

/** Put a query into the address without a new entry in the browser's history. */
export function rememberQuery(query) {
  const path = location.hash.split("?", 1)[0] || "#/";
  const text = query.toString();
  history.replaceState(null, "", text ? `${path}?${text}` : path);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
