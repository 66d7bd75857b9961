// The chart of a run: which series, which window of time, and what the values are.

import { ask, runPath } from "../api.js";
import { fill, h } from "../element.js";
import { empty, failure, loading, tool } from "../parts.js";
import { rememberQuery } from "../route.js";
import { notify } from "../notifications.js";
import { theme } from "../theme.js";
import { count } from "../wording.js";
import { Legend, summary } from "./legend.js";
import { KEYS_IN_WORDS, Navigation } from "./navigation.js";
import { MOST_SERIES, Panels } from "./panels.js";
import { seriesPicker } from "./picker.js";
import { asCsv, picture, save } from "./save.js";
import { WindowReader } from "./values.js";

const AT_FIRST = 2;
const POINTS = 2000;
const PAUSE = 120;

/**
 * @param {object} run
 * @param {URLSearchParams} query State of the view: `series`, `from` and `to`.
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
export function chartView(run, query, signal) {
  return new ChartView(run, query, signal).element;
}

class ChartView {
  constructor(run, query, signal) {
    this.run = run;
    this.query = query;
    this.signal = signal;
    const time = { from: run.timeOrigin, bins: run.grid.bins, binMinutes: run.grid.binMinutes };
    this.reader = new WindowReader(time, (id) => runPath(run.id, `/series/${encodeURIComponent(id)}`), POINTS, signal);
    this.chosen = new Set(query.getAll("series").slice(0, MOST_SERIES));
    this.slots = new Map();
    this.lines = [];
    this.turn = 0;
    this.navigation = new Navigation(this.reader, query, () => this.moved());
    this.place = h("div.chart", { tabIndex: 0, role: "group", "aria-label": `Chart. ${KEYS_IN_WORDS}`, onkeydown: (event) => this.navigation.key(event) }, loading("series"));
    this.thinned = h("p.muted.small.thinned", { role: "status" });
    this.legend = new Legend((id) => this.remove(id));
    this.numbers = h("details.small", {}, h("summary", {}, "Values in numbers"));
    this.below = h("div");
    this.panels = new Panels(this.place, this.reader, (window) => this.navigation.go(window), (at) => this.legend.point(at));
    this.element = h("section.panel.chart-panel", {}, h("header", {}, h("h2", {}, "Series"), this.tools()), this.legend.element, this.place, this.thinned, this.numbers, this.below);
    this.watch();
    this.begin();
  }

  watch() {
    const resized = new ResizeObserver(() => this.panels.resize());
    resized.observe(this.place);
    theme.addEventListener("change", () => this.repaint(), { signal: this.signal });
    this.signal.addEventListener("abort", () => {
      resized.disconnect();
      this.panels.clear();
    });
  }

  tools() {
    return h(
      "span.chart-tools",
      {},
      ...this.navigation.tools(),
      tool("PNG", "Save the chart as a picture", () => this.savePicture()),
      tool("Copy", "Copy the chart as a picture", () => this.copyPicture()),
      tool("CSV", "Save the shown values as CSV", () => this.saveValues()),
    );
  }

  async begin() {
    try {
      const index = await ask(runPath(this.run.id, "/index"), { signal: this.signal });
      if (!index.series.length) {
        fill(this.place, empty("This run has no series"));
        return;
      }
      const known = new Set(index.series.map((one) => one.id));
      this.chosen.forEach((id) => known.has(id) || this.chosen.delete(id));
      if (!this.chosen.size && !this.query.has("series")) index.series.slice(0, AT_FIRST).forEach((one) => this.chosen.add(one.id));
      this.picker = seriesPicker(index.series, this.chosen, () => this.choose());
      fill(this.below, this.picker.element);
      await this.load();
    } catch (error) {
      if (!this.signal.aborted) fill(this.place, failure(error, () => this.begin()));
    }
  }

  /** Read what is chosen within the window, and draw it; an answer that comes too late is dropped. */
  async load() {
    const turn = (this.turn += 1);
    this.place.setAttribute("aria-busy", "true");
    try {
      const { window } = this.navigation;
      const series = await Promise.all([...this.chosen].map((id) => this.reader.read(id, window)));
      if (turn !== this.turn || this.signal.aborted) return;
      this.paint(series);
    } catch (error) {
      if (turn !== this.turn || this.signal.aborted) return;
      this.panels.clear();
      fill(this.place, failure(error, () => this.load()));
    }
    this.place.removeAttribute("aria-busy");
  }

  paint(series) {
    this.lines = series.map((one) => ({ series: one, slot: this.slot(one.seriesId) }));
    const drawable = this.lines.filter((one) => one.series.bins.length);
    this.legend.draw(this.lines);
    fill(this.numbers, h("summary", {}, "Values in numbers"), summary(this.lines));
    fill(this.thinned, thinnedBy(series));
    if (!drawable.length) {
      this.panels.clear();
      fill(this.place, empty(series.length ? "No finite value in this window" : "No series chosen", series.length ? "Zoom out, or choose other series." : `Choose up to ${MOST_SERIES} below.`));
      return;
    }
    if (!this.panels.panels.length) fill(this.place);
    this.panels.draw(drawable, this.navigation.window);
  }

  repaint() {
    if (!this.lines.length) return;
    this.panels.clear();
    this.paint(this.lines.map((one) => one.series));
  }

  /** The colour of a series, which it keeps while it is chosen. */
  slot(id) {
    for (const known of this.slots.keys()) if (!this.chosen.has(known)) this.slots.delete(known);
    const taken = new Set(this.slots.values());
    if (!this.slots.has(id)) this.slots.set(id, [...Array(MOST_SERIES).keys()].find((slot) => !taken.has(slot)) ?? 0);
    return this.slots.get(id);
  }

  choose() {
    this.query.delete("series");
    if (this.chosen.size) this.chosen.forEach((id) => this.query.append("series", id));
    else this.query.set("series", "");
    rememberQuery(this.query, true);
    this.load();
  }

  remove(id) {
    this.chosen.delete(id);
    this.picker.refresh();
    this.choose();
  }

  /** Show another window: first of what is drawn, then with its own values. */
  moved() {
    rememberQuery(this.query, true);
    this.panels.show(this.navigation.window);
    this.place.setAttribute("aria-busy", "true");
    clearTimeout(this.later);
    this.later = setTimeout(() => this.load(), PAUSE);
  }

  // ----------------------------------------------------------------- saving

  picture() {
    return picture(this.panels, this.run.id, `${this.reader.instant(0).slice(0, 10)} on, UTC. ${this.thinned.textContent}`);
  }

  async savePicture() {
    if (this.panels.panels.length) save(await this.picture(), `${this.run.runId}.png`);
  }

  async copyPicture() {
    if (!this.panels.panels.length) return;
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": this.picture() })]);
      notify({ kind: "info", title: "The chart is in the clipboard" });
    } catch {
      notify({ kind: "bad", title: "The browser did not allow copying", text: "Save the chart as PNG instead." });
    }
  }

  saveValues() {
    if (!this.lines.length) return;
    const text = asCsv(this.reader, this.lines.map((one) => one.series), this.navigation.window);
    save(new Blob([text], { type: "text/csv" }), `${this.run.runId}.shown.csv`);
  }
}

function thinnedBy(series) {
  const most = Math.max(1, ...series.map((one) => one.binsPerPoint));
  return most > 1 ? `1 point per ${count(most)} bins: the band reaches from the lowest to the highest value. Zoom in for every value.` : "";
}
