// The chart of one pair of series, with the ways to show it.

import { KEYS_IN_WORDS, Navigation } from "../chart/navigation.js";
import { WindowReader } from "../chart/values.js";
import { fill, foreign, h, plain } from "../element.js";
import { badge, failure, tabs } from "../parts.js";
import { theme } from "../theme.js";
import { counted, exactly, instant, measured } from "../wording.js";
import { STATUSES } from "./metrics-table.js";
import { PairChart, VIEWS } from "./pair-chart.js";

const POINTS = 1500;
const PAUSE = 120;
const NAMES = { baseline: "Baseline", comparison: "Comparison", difference: "Difference" };

export class ChartPanel {
  /**
   * @param {string} session
   * @param {{from: string, bins: number, grid: {binSize: number}}} alignment The compared time.
   * @param {URLSearchParams} query `view`, `from` and `to` are kept in it.
   * @param {() => void} changed
   * @param {AbortSignal} signal
   */
  constructor(session, alignment, query, changed, signal) {
    const { from, bins, grid } = alignment;
    const pathOf = (id) => `/v1/compare/${encodeURIComponent(session)}/series/${encodeURIComponent(id)}`;
    this.reader = new WindowReader({ from, bins, binMinutes: grid.binSize }, pathOf, POINTS, signal);
    this.navigation = new Navigation(this.reader, query, () => this.moved(), () => this.pair !== null);
    this.changed = changed;
    this.query = query;
    this.signal = signal;
    this.turn = 0;
    this.pair = null;
    this.series = null;
    this.place = h("div.chart", { tabIndex: 0, role: "group", "aria-label": "Chart", onkeydown: (event) => this.navigation.key(event) });
    this.title = h("h2", {}, "Chart");
    this.readout = h("dl.readout", { "aria-live": "off" });
    this.notes = h("p.muted.small", { role: "status" });
    this.chart = new PairChart(this.place, (window) => this.navigation.go(window), (at) => this.point(at));
    const chosen = query.get("view") in VIEWS ? query.get("view") : "overlay";
    this.view = chosen;
    const views = tabs("How to show the series", VIEWS, chosen, (view) => this.show(view, changed));
    const keys = h(
      "ul.keys.small",
      { "aria-label": "Key" },
      h("li", { data: { key: "baseline" } }, "baseline"),
      h("li", { data: { key: "comparison" } }, "comparison"),
      h("li", { data: { key: "difference" } }, "difference"),
      h("li", { data: { key: "band" } }, "tolerance"),
    );
    this.element = h(
      "section.panel",
      { "aria-label": "Chart of the chosen series", hidden: true },
      h("header", {}, this.title, h("span.chart-tools.push", {}, ...this.navigation.tools())),
      views,
      this.place,
      keys,
      this.readout,
      this.notes,
    );
    const resized = new ResizeObserver(() => this.chart.resize());
    resized.observe(this.place);
    theme.addEventListener("change", () => this.pair && this.paint(), { signal });
    signal.addEventListener("abort", () => {
      clearTimeout(this.later);
      resized.disconnect();
      this.chart.clear();
    });
  }

  /** Show a series. @param {object} series As the result has it. */
  async choose(series) {
    const mine = (this.turn += 1);
    this.series = series;
    this.element.hidden = false;
    fill(this.title, foreign(series.seriesId), " ", badge(STATUSES[series.status]));
    if (this.pair?.seriesId !== series.seriesId) fill(this.notes, "Loading values …");
    this.place.setAttribute("aria-busy", "true");
    let pair;
    try {
      pair = await this.reader.read(series.seriesId, this.navigation.window);
    } catch (error) {
      if (this.signal.aborted || mine !== this.turn) return;
      this.pair = null;
      this.chart.clear();
      fill(this.place, failure(error, () => this.choose(series)));
      fill(this.notes);
      return;
    }
    if (this.signal.aborted || mine !== this.turn) return;
    this.pair = pair;
    this.paint();
    this.place.removeAttribute("aria-busy");
  }

  /** Show another window: first of what is drawn, then with its own values. */
  moved() {
    this.changed();
    this.chart.show(this.navigation.window);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.choose(this.series), PAUSE);
  }

  show(view, changed) {
    this.view = view;
    if (this.query.get("view") !== view && (this.query.has("view") || view !== "overlay")) {
      this.query.set("view", view);
      changed();
    }
    if (this.pair) this.paint();
  }

  paint() {
    const { pair } = this;
    this.chart.draw(pair, this.view, this.navigation.window);
    this.place.setAttribute("aria-label", `${VIEWS[this.view]} of ${plain(pair.seriesId)}. ${KEYS_IN_WORDS}`);
    const parts = [];
    if (pair.binsPerPoint > 1) parts.push(`Each point shows the lowest and highest value of ${counted(pair.binsPerPoint, "bin")}: zoom in for every value.`);
    if (pair.gaps.length) parts.push(`In ${counted(pair.gaps.length, "place")} a value is NaN or infinite, first at ${instant(this.at(pair.gaps[0]))}.`);
    fill(this.notes, parts.join(" "));
    this.point(null);
  }

  at(bin) {
    return new Date(Date.parse(this.pair.timeOrigin) + bin * this.pair.binMinutes * 60_000).toISOString();
  }

  point(at) {
    if (!at) {
      fill(this.readout, h("dt", {}, "Point at the chart to read values"), h("dd", {}));
      return;
    }
    const rows = Object.entries(NAMES).flatMap(([name, title]) => [h("dt", {}, title), h("dd", {}, spread(at.values[name]))]);
    fill(this.readout, h("dt", {}, instant(new Date(at.time * 1000).toISOString())), h("dd", {}), ...rows);
  }
}

function spread([low, high]) {
  if (low === null || high === null) return "–";
  return low === high ? exactly(low) : `${measured(low)} to ${measured(high)}`;
}

