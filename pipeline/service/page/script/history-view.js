// The history of all exports and imports.

import { fill, h } from "./element.js";
import { jobTable } from "./job-table.js";
import { rememberQuery } from "./route.js";
import { JOB_STATES, count, counted } from "./wording.js";

const PAGE_SIZE = 50;

/** @type {(main: HTMLElement, route: import("./route.js").Route, signal: AbortSignal) => void} */
export function historyView(main, route, signal) {
  const query = route.query;
  const total = h("p.muted", { role: "status" });
  const place = h("section.panel", { "aria-label": "Jobs" });
  const pager = h("nav.pager", { "aria-label": "Pages" });
  let drawing = new AbortController();
  signal.addEventListener("abort", () => drawing.abort());

  function draw() {
    drawing.abort();
    drawing = new AbortController();
    const page = Number(query.get("page") ?? 1);
    const state = query.get("state") ?? "";
    fill(place, jobTable({ state, page, pageSize: PAGE_SIZE, withRun: true, signal: drawing.signal, told }));
  }

  function told(found) {
    fill(total, counted(found.totalCount, "job"));
    const last = Math.max(1, Math.ceil(found.totalCount / PAGE_SIZE));
    fill(pager, ...(last === 1 ? [] : pages(found.page, last)));
  }

  function pages(page, last) {
    const step = (title, number, isPossible) =>
      h("button.button.small", { type: "button", disabled: !isPossible, onclick: () => change("page", number) }, title);
    return [
      step("Newer", page - 1, page > 1),
      h("span.muted", {}, `Page ${count(page)} of ${count(last)}`),
      step("Older", page + 1, page < last),
    ];
  }

  function change(key, value) {
    if (key !== "page") query.delete("page");
    if (value) query.set(key, value);
    else query.delete(key);
    rememberQuery(query);
    draw();
  }

  const chosen = query.get("state") ?? "";
  const option = ([key, title]) => h("option", { value: key, selected: key === chosen }, title);
  const states = Object.entries(JOB_STATES).map(([key, [, title]]) => [key, title]);
  const select = h(
    "select",
    { onchange: (event) => change("state", event.target.value) },
    ...[["", "All states"], ...states].map(option),
  );
  main.append(
    h("div.title-line", {}, h("h1", {}, "History"), total, h("label.push", {}, h("span.sr", {}, "State"), select)),
    place,
    pager,
  );
  draw();
}
