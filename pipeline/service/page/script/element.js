// Elements from plain descriptions; text always goes in as text, never as HTML.

/**
 * Make an element.
 *
 * @param {string} name Tag, with classes: `p.small.muted`.
 * @param {Record<string, unknown>} [properties] Attributes; `on…` are listeners, `data` a record
 *   of data attributes; `null`, `undefined` and `false` are left out.
 * @param {...(Node | string | number | null | undefined | false)} children What is in it.
 * @returns {HTMLElement}
 */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) put(element, key, value);
  element.append(...children.filter(isThere).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter(isThere).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function put(element, key, value) {
  if (!isThere(value)) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
  else if (key === "data") Object.assign(element.dataset, value);
  else if (key in element && !(key === "list" || key === "form" || key.startsWith("aria"))) element[key] = value;
  else element.setAttribute(key, value === true ? "" : String(value));
}

function isThere(value) {
  return value !== null && value !== undefined && value !== false;
}
