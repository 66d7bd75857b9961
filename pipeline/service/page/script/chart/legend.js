// The chosen series with their colours, their values at the pointer, and their extremes.

import { fill, foreign, h } from "../element.js";
import { count, exactly, instant, measured } from "../wording.js";

/** The legend of a chart. */
export class Legend {
  /** @param {(id: string) => void} remove Called when a series is to be removed. */
  constructor(remove) {
    this.remove = remove;
    this.time = h("p.pointer-time.muted.small");
    this.list = h("ul.legend", { "aria-label": "Shown series" });
    this.element = h("div", {}, this.list, this.time);
    this.values = new Map();
  }

  /** Show lines. @param {import("./panels.js").Line[]} lines */
  draw(lines) {
    this.values = new Map(lines.map(({ series }) => [series.seriesId, h("output", {}, "–")]));
    fill(this.list, ...lines.map((one) => this.entry(one)));
  }

  /** Show the values at the pointer. */
  point(at) {
    fill(this.time, at ? instant(new Date(at.time * 1000).toISOString()) : "");
    for (const [id, output] of this.values) {
      const [low, high] = at?.values.get(id) ?? [null, null];
      fill(output, low === high ? exactly(high) : `${measured(low)} to ${measured(high)}`);
    }
  }

  entry({ series, slot }) {
    const remove = h("button.icon-button.tiny", { type: "button", "aria-label": `Remove ${series.seriesId} from the chart`, onclick: () => this.remove(series.seriesId) }, "×");
    return h(
      "li",
      {},
      h("span.swatch", { data: { slot: slot + 1 }, "aria-hidden": "true" }),
      h("span.series-name", {}, foreign(series.seriesId), series.unit ? h("small", {}, " ", foreign(series.unit)) : null),
      this.values.get(series.seriesId),
      remove,
    );
  }
}

/** Make a table of the same, for those who do not see the chart. */
export function summary(lines) {
  const titles = ["Series", "Lowest", "Highest", "Values", "Not finite"];
  const head = titles.map((title, place) => h(place ? "th.number" : "th", { scope: "col" }, title));
  const rows = lines.map(({ series }) =>
    h(
      "tr",
      {},
      h("td", {}, foreign(series.seriesId)),
      h("td.number", {}, exactly(series.lowest)),
      h("td.number", {}, exactly(series.highest)),
      h("td.number", {}, count(series.toBin - series.fromBin)),
      h("td.number", {}, count(series.nonFinite)),
    ),
  );
  return h("div.cells", { tabIndex: 0, role: "region", "aria-label": "Shown series in numbers" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}
