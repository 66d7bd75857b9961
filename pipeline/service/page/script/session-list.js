// Lists that outlive a reload of the page: they are kept as long as its tab.

/**
 * Keep a list; without storage it lasts as long as the page.
 *
 * @param {string} key
 * @param {Iterable<any>} entries
 */
export function remember(key, entries) {
  try {
    sessionStorage.setItem(key, JSON.stringify([...entries]));
  } catch {
    // The browser allows no storage.
  }
}

/** Return the list that was kept last; empty where there is none. */
export function restored(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}
