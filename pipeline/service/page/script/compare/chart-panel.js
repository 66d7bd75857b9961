// The chart of one pair of series, with the ways to show it.

import { ask } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { action, badge, failure, tabs } from "../parts.js";
import { theme } from "../theme.js";
import { counted, exactly, instant, measured } from "../wording.js";
import { STATUSES } from "./metrics-table.js";
import { PairChart, VIEWS } from "./pair-chart.js";

const POINTS = 1500;
const LEAST_BINS = 2;
const PAUSE = 120;
const KEPT = 40;
const KEYS = { "+": ["zoom", 0.5], "-": ["zoom", 2], ArrowLeft: ["pan", -0.25], ArrowRight: ["pan", 0.25], 0: ["go", null] };
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
    this.session = session;
    this.start = Date.parse(alignment.from) / 1000;
    this.seconds = alignment.grid.binSize * 60;
    this.bins = alignment.bins;
    this.changed = changed;
    this.query = query;
    this.signal = signal;
    this.known = new Map();
    this.turn = 0;
    this.pair = null;
    this.series = null;
    this.place = h("div.chart", { tabIndex: 0, role: "group", "aria-label": "Chart", onkeydown: (event) => this.key(event) });
    this.title = h("h2", {}, "Chart");
    this.readout = h("dl.readout", { "aria-live": "off" });
    this.notes = h("p.muted.small", { role: "status" });
    this.chart = new PairChart(this.place, (window) => this.go(window), (at) => this.point(at));
    this.window = this.windowOf(query);
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
      h("header", {}, this.title, this.tools()),
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
      pair = await this.read(series.seriesId);
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

  /** Read a series within the window; one bin more on each side lets lines run to the edges. */
  async read(id) {
    const query = new URLSearchParams({ points: String(POINTS) });
    const from = Math.max(0, Math.floor((this.window.min - this.start) / this.seconds) - 1);
    const to = Math.min(this.bins, Math.ceil((this.window.max - this.start) / this.seconds) + 1);
    if (from > 0) query.set("from", this.instant(this.start + from * this.seconds));
    if (to < this.bins) query.set("to", this.instant(this.start + to * this.seconds));
    const path = `/v1/compare/${encodeURIComponent(this.session)}/series/${encodeURIComponent(id)}?${query}`;
    if (!this.known.has(path)) {
      this.known.set(path, await ask(path, { signal: this.signal }));
      for (const old of this.known.keys()) {
        if (this.known.size <= KEPT) break;
        this.known.delete(old);
      }
    }
    return this.known.get(path);
  }

  // ----------------------------------------------------------------- the window

  get whole() {
    return { min: this.start, max: this.start + this.bins * this.seconds };
  }

  instant(at) {
    return new Date(Math.round(at) * 1000).toISOString().replace(".000Z", "Z");
  }

  windowOf(query) {
    const [min, max] = ["from", "to"].map((key) => Date.parse(query.get(key) ?? "") / 1000);
    const { whole } = this;
    return this.within({ min: Number.isNaN(min) ? whole.min : min, max: Number.isNaN(max) ? whole.max : max });
  }

  /** Bring a window to bins that there are, at least some of them. */
  within({ min, max }) {
    const { min: first, max: last } = this.whole;
    const width = Math.min(last - first, Math.max(max - min, LEAST_BINS * this.seconds));
    const start = Math.max(first, Math.min((min + max - width) / 2, last - width));
    return { min: start, max: start + width };
  }

  /** Show a window, null for all, and read its values. */
  go(window) {
    if (!this.pair) return;
    this.window = this.within(window ?? this.whole);
    const { min, max } = this.whole;
    const isAll = this.window.min <= min && this.window.max >= max;
    for (const [key, at] of [["from", this.window.min], ["to", this.window.max]]) {
      if (isAll) this.query.delete(key);
      else this.query.set(key, this.instant(at));
    }
    this.changed();
    this.chart.show(this.window);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.choose(this.series), PAUSE);
  }

  zoom(factor) {
    const { min, max } = this.window;
    const half = ((max - min) / 2) * factor;
    this.go({ min: (min + max) / 2 - half, max: (min + max) / 2 + half });
  }

  pan(share) {
    const { min, max } = this.window;
    const step = (max - min) * share;
    this.go({ min: min + step, max: max + step });
  }

  key(event) {
    const found = KEYS[event.key];
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this[found[0]](found[1]);
  }

  tools() {
    const tool = (title, label, act) => action(title, act, { label, title: label });
    return h(
      "span.chart-tools.push",
      {},
      tool("←", "Earlier", () => this.pan(-0.5)),
      tool("→", "Later", () => this.pan(0.5)),
      tool("+", "Zoom in", () => this.zoom(0.5)),
      tool("−", "Zoom out", () => this.zoom(2)),
      tool("All", "Show the whole time", () => this.go(null)),
    );
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
    this.chart.draw(pair, this.view, this.window);
    this.place.setAttribute("aria-label", `${VIEWS[this.view]} of ${plain(pair.seriesId)}. Plus and minus zoom, arrows move, 0 shows all.`);
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

