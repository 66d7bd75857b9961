// Elements from plain descriptions; text always goes in as text, never as HTML.

/**
 * Make an element.
 *
 * @param {string} name Tag, with classes: `p.small.muted`.
 * @param {Record<string, unknown>} [properties] Attributes; `on…` are listeners, `data` a record
 *   of data attributes; `null`, `undefined` and `false` are left out.
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) put(element, key, value);
  element.append(...nodes(children));
  return element;
}

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/**
 * Isolate text that comes from a run or a file.
 *
 * Characters that change the direction of text (U+202E …) then cannot reorder what is around it.
 */
export const foreign = (text) => (isGiven(text) && text !== "" ? h("bdi", {}, text) : null);

/** Replace direction controls in text for places that take no elements: titles and attributes. */
export const plain = (text) => String(text ?? "").replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

function nodes(children) {
  return children.filter(isGiven).map((child) => (child instanceof Node ? child : String(child)));
}

function put(element, key, value) {
  if (!isGiven(value)) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
  else if (key === "data") Object.assign(element.dataset, value);
  else if (key in element && !(key === "list" || key === "form" || key.startsWith("aria"))) element[key] = value;
  else element.setAttribute(key, value === true ? "" : String(value));
}

function isGiven(value) {
  return value !== null && value !== undefined && value !== false;
}
