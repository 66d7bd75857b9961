// The switch that has every run exported when it completes.

import { ask } from "./api.js";
import { fill, h } from "./element.js";
import { notify } from "./notifications.js";
import { sentence } from "./parts.js";
import { FORMATS } from "./wording.js";

/** Make the switch, with the formats to choose. @param {AbortSignal} signal */
export function autoExportSwitch(signal) {
  const wish = h("input", { type: "checkbox", role: "switch", disabled: true, onchange: () => save(wish.checked ? chosenFormats() : []) });
  const boxes = Object.entries(FORMATS).map(([key, { title }]) => {
    const input = h("input", { type: "checkbox", value: key, checked: true, onchange: () => wish.checked && save(chosenFormats()) });
    return h("label.check", {}, input, title);
  });
  const state = h("span.small.muted");
  const menu = h("details.auto-export", {}, h("summary", {}, "Automatic export ", state), h("div.menu", {}, h("label.check", {}, wish, h("b", {}, "Export every run when it completes")), h("div.chips", { role: "group", "aria-label": "Formats of automatic exports" }, ...boxes), h("p.muted.small", {}, "Applies to runs that complete from now on, whether this page is open or not.")));
  const inputs = boxes.map((box) => box.querySelector("input"));
  const chosenFormats = () => inputs.filter((input) => input.checked).map((input) => input.value);

  function show({ formats }) {
    wish.checked = formats.length > 0;
    wish.disabled = false;
    if (formats.length) for (const input of inputs) input.checked = formats.includes(input.value);
    fill(state, formats.length ? `on: ${formats.map((key) => FORMATS[key].title).join(", ")}` : "off");
  }

  async function save(formats) {
    try {
      const body = JSON.stringify({ formats });
      show(await ask("/v1/auto-export", { method: "PUT", body, headers: { "Content-Type": "application/json" } }));
    } catch (error) {
      notify({ kind: "bad", title: "Automatic export was not changed", text: sentence(error.message) });
      load();
    }
  }

  function load() {
    ask("/v1/auto-export", { signal }).then(show, () => null);
  }

  load();
  return menu;
}
