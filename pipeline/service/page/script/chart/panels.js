// Panels of a chart, one for each unit, over one time axis and with one cursor.

import uPlot from "../../vendor/uPlot.js";
import { h } from "../element.js";
import { colour } from "../theme.js";
import { measured } from "../wording.js";
import { faded, reportDragged, roomy, sharedCursor, timeScale } from "./plot.js";
import { labels, ticks } from "./ticks.js";
import { laidOut } from "./values.js";

const TALL = 300;
const TALLER = 380;
const FLAT = 170;
const WIDE_PANEL = 1000;
const AXIS = 64;
const TICK_ROOM = 76;
const WIDE = 1.5;
const THIN = 0.75;

/** Series that can be shown at a time. */
export const MOST_SERIES = 6;

/**
 * @typedef {object} Line
 * @property {import("./values.js").SeriesValues} series
 * @property {number} slot Number of its colour, from 0.
 */

let made = 0;

export class Panels {
  /**
   * @param {HTMLElement} place
   * @param {import("./values.js").WindowReader} reader
   * @param {(window: import("./plot.js").Window | null) => void} onWindow Called with a window that was chosen; null: all.
   * @param {(at: {time: number, values: Map<string, [number, number]>} | null) => void} onCursor
   */
  constructor(place, reader, onWindow, onCursor) {
    this.place = place;
    this.reader = reader;
    this.onWindow = onWindow;
    this.onCursor = onCursor;
    this.sync = `chart ${(made += 1)}`;
    this.panels = [];
    this.shape = "";
    this.grid = { start: reader.start, seconds: reader.seconds };
  }

  /** Draw lines within a window. @param {Line[]} lines @param {{min: number, max: number}} window */
  draw(lines, window) {
    const units = Map.groupBy(lines, ({ series }) => series.unit ?? "");
    const shape = JSON.stringify([...units].map(([unit, own]) => [unit, own.map(({ series, slot }) => [series.seriesId, slot])]));
    if (shape !== this.shape) this.build(units, window);
    this.shape = shape;
    this.panels.forEach((panel, number) => {
      panel.lines = [...units.values()][number];
      panel.data = laidOut(this.reader, panel.lines.map(({ series }) => series));
      const { times, lows, highs } = panel.data;
      const isBand = panel.lines[0].series.binsPerPoint > 1;
      const columns = highs.flatMap((high, n) => [high, isBand ? lows[n] : new Array(times.length).fill(null)]);
      panel.plot.series.slice(1).forEach((one) => (one.width = isBand ? THIN : WIDE));
      panel.plot.batch(() => {
        panel.plot.setData([times, ...columns], false);
        panel.plot.setScale("x", window);
      });
    });
  }

  /** Show another window of what is drawn. */
  show(window) {
    for (const { plot } of this.panels) plot.setScale("x", window);
  }

  /** Fit the width of the place. */
  resize() {
    for (const { plot } of this.panels) plot.setSize({ width: this.width, height: plot.height });
  }

  /** Remove all panels. */
  clear() {
    for (const { plot } of this.panels) plot.destroy();
    this.panels = [];
    this.shape = "";
    this.place.replaceChildren();
  }

  get width() {
    return Math.max(200, this.place.clientWidth);
  }

  build(units, window) {
    this.clear();
    const last = [...units.keys()].at(-1);
    for (const [unit, lines] of units) {
      const root = h("div.panel-plot", { data: { unit } });
      this.place.append(root);
      const tall = this.width > WIDE_PANEL ? TALLER : TALL;
      const height = (units.size > 1 ? FLAT : tall) - (unit === last ? 0 : 34);
      const panel = { lines, data: null, plot: null };
      panel.plot = new uPlot(this.options(panel, unit, height, unit === last, window), [[]], root);
      this.panels.push(panel);
    }
  }

  options(panel, unit, height, isLast, window) {
    const { lines } = panel;
    return {
      width: this.width,
      height,
      pxAlign: 0,
      legend: { show: false },
      scales: { x: timeScale(window), y: { range: (_, min, max) => grounded(min, max) } },
      cursor: sharedCursor(this.sync, this.onWindow),
      hooks: { setSelect: [(plot) => reportDragged(plot, this.onWindow)], setCursor: [(plot) => plot === this.panels[0]?.plot && this.pointed(plot)] },
      bands: lines.map((_, n) => ({ series: [2 * n + 1, 2 * n + 2], fill: faded(`--series-${lines[n].slot + 1}`, 0.28) })),
      series: [{}, ...lines.flatMap(({ slot }) => [line(slot), line(slot)])],
      axes: this.axes(unit, isLast),
    };
  }

  axes(unit, isLast) {
    const grid = { stroke: colour("--line"), width: 1 };
    const common = { stroke: colour("--muted"), grid, ticks: grid };
    const found = (plot, min, max) => ticks(this.grid, min, max, Math.floor(plot.bbox.width / devicePixelRatio / TICK_ROOM));
    let shown = { at: [], step: 1 };
    const time = {
      ...common,
      size: isLast ? 46 : 12,
      splits: (plot, _, min, max) => (shown = found(plot, min, max)).at,
      values: () => (isLast ? labels(shown) : shown.at.map(() => "")),
    };
    const values = { ...common, size: AXIS, label: unit || "no unit", labelSize: 22, values: (_, at) => at.map(measured) };
    return [time, values];
  }

  pointed(plot) {
    const place = plot.cursor.left < 0 ? null : plot.cursor.idx;
    if (place === null || place === undefined) {
      this.onCursor(null);
      return;
    }
    const values = new Map();
    for (const { lines, data } of this.panels) {
      lines.forEach(({ series }, n) => values.set(series.seriesId, [data.lows[n][place], data.highs[n][place]]));
    }
    this.onCursor({ time: this.panels[0].data.times[place], values });
  }
}

const line = (slot) => ({ stroke: colour(`--series-${slot + 1}`), width: WIDE, spanGaps: false, pxAlign: 0, points: { size: 5 } });

/** A range with some room, which does not go below 0 where no value does. */
function grounded(min, max) {
  const [low, high] = roomy(min, max);
  return [min >= 0 && low < 0 ? 0 : low, high];
}
