// The chart of a run, with the series to choose from.

import { ask, runPath } from "./api.js";
import { MOST_SERIES, draw, showAll, zoom } from "./chart.js";
import { fill, h } from "./element.js";
import { empty, failure, loading } from "./parts.js";
import { theme } from "./theme.js";
import { count, counted, measured } from "./wording.js";

const POINTS = 2000;
const AT_FIRST = 2;

/** @type {(run: object, signal: AbortSignal) => HTMLElement} */
export function chartPanel(run, signal) {
  const place = h("div.chart", {}, loading("series"));
  const told = h("div", {});
  const picker = h("div.picker");
  const tool = (title, label, act) =>
    h("button.button.small", { type: "button", "aria-label": label, onclick: () => plot && act(plot) }, title);
  const tools = h(
    "span.chart-tools",
    {},
    tool("+", "Zoom in", (shown) => zoom(shown, 0.5)),
    tool("−", "Zoom out", (shown) => zoom(shown, 2)),
    tool("All", "Show the whole time", showAll),
  );
  const known = new Map();
  const chosen = new Set();
  let plot = null;
  let turn = 0;

  async function begin() {
    try {
      const index = await ask(runPath(run.id, "/index"), { signal });
      if (!index.series.length) {
        fill(place, empty("This run has no series"));
        return;
      }
      index.series.slice(0, AT_FIRST).forEach((one) => chosen.add(one.id));
      fill(picker, ...choices(index.series, chosen, show));
      await show();
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, begin));
    }
  }

  async function show() {
    const mine = (turn += 1);
    try {
      const series = await Promise.all([...chosen].map(fetched));
      if (mine === turn && !signal.aborted) paint(series);
    } catch (error) {
      if (mine === turn && !signal.aborted) {
        clear();
        fill(place, failure(error, show));
      }
    }
  }

  async function fetched(id) {
    if (!known.has(id)) {
      const path = runPath(run.id, `/series/${encodeURIComponent(id)}?points=${POINTS}`);
      known.set(id, await ask(path, { signal }));
    }
    return known.get(id);
  }

  function paint(series) {
    clear();
    fill(place);
    const drawable = series.filter((one) => one.bins.length);
    if (drawable.length) plot = draw(place, drawable);
    else fill(place, empty(series.length ? "No finite value to draw" : "No series chosen", "Choose up to six below."));
    fill(told, series.length ? summary(series) : null);
  }

  function clear() {
    plot?.destroy();
    plot = null;
  }

  const resized = new ResizeObserver(() => plot?.setSize({ width: Math.max(200, place.clientWidth), height: plot.height }));
  resized.observe(place);
  theme.addEventListener("change", () => plot && show(), { signal });
  signal.addEventListener("abort", () => {
    resized.disconnect();
    clear();
  });
  begin();
  return h(
    "section.panel",
    {},
    h("header", {}, h("h2", {}, "Series"), tools),
    place,
    h("details.small", {}, h("summary", {}, "Values in numbers"), told),
    picker,
  );
}

function choices(series, chosen, show) {
  const boxes = series.map((one) => box(one, chosen, changed));
  const search = h("input", {
    type: "text",
    placeholder: `Find among ${counted(series.length, "series", "series")}`,
    "aria-label": "Find series",
    oninput: ({ target }) => {
      const text = target.value.trim().toLowerCase();
      boxes.forEach((item, place) => (item.hidden = !series[place].id.toLowerCase().includes(text)));
    },
  });

  function changed() {
    const isFull = chosen.size >= MOST_SERIES;
    for (const item of boxes) {
      const input = item.querySelector("input");
      input.disabled = isFull && !input.checked;
    }
    show();
  }

  return [...(series.length > 8 ? [search] : []), h("ul", { "aria-label": "Series to draw" }, ...boxes)];
}

function box(one, chosen, changed) {
  const input = h("input", {
    type: "checkbox",
    checked: chosen.has(one.id),
    onchange: ({ target }) => {
      if (target.checked) chosen.add(one.id);
      else chosen.delete(one.id);
      changed();
    },
  });
  return h("li", {}, h("label", { title: one.id }, input, h("span", {}, one.id), h("small", {}, one.unit ?? "")));
}

/** The same in words, for those who do not see the chart. */
function summary(series) {
  const titles = ["Series", "Lowest", "Highest", "Values", "Not finite"];
  const head = titles.map((title, place) => h(place ? "th.number" : "th", { scope: "col" }, title));
  const rows = series.map((one) =>
    h(
      "tr",
      {},
      h("td", {}, one.seriesId),
      h("td.number", {}, measured(one.lowest)),
      h("td.number", {}, measured(one.highest)),
      h("td.number", {}, count(one.pointsTotal)),
      h("td.number", {}, count(one.nonFinite)),
    ),
  );
  return h("div.cells", {}, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}
