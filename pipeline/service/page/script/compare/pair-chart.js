// A pair of series drawn over time: one over the other, side by side, or their difference.

import uPlot from "../../vendor/uPlot.js";
import { faded, reportDragged, roomy, sharedCursor, timeScale } from "../chart/plot.js";
import { labels, ticks } from "../chart/ticks.js";
import { h } from "../element.js";
import { colour } from "../theme.js";
import { measured } from "../wording.js";

const TALL = 280;
const AXIS = 64;
const TICK_ROOM = 90;
const WIDE = 1.5;
const THIN = 0.75;

/** How a pair can be shown. */
export const VIEWS = { overlay: "Overlay", sides: "Side by side", difference: "Difference" };

const COLOURS = { baseline: "--series-1", comparison: "--series-2", difference: "--series-4" };

/**
 * @typedef {object} Pair What GET /v1/compare/{sessionId}/series/{seriesId} returns.
 * @property {string | null} unit
 * @property {string} timeOrigin
 * @property {number} binMinutes
 * @property {number} binsPerPoint
 * @property {{lows: (number | null)[], highs: (number | null)[]}} baseline Likewise `comparison`,
 *   `difference` and `band`, which is null without a tolerance.
 * @property {(number | null)[] | null} bound
 */

let made = 0;

export class PairChart {
  /**
   * @param {HTMLElement} place
   * @param {(window: import("../chart/plot.js").Window | null) => void} onWindow Called with a window that was chosen; null: all.
   * @param {(at: {time: number, step: number, values: Record<string, [number, number]>} | null) => void} onCursor
   */
  constructor(place, onWindow, onCursor) {
    this.place = place;
    this.onWindow = onWindow;
    this.onCursor = onCursor;
    this.plots = [];
  }

  /**
   * @param {Pair} pair
   * @param {keyof typeof VIEWS} view
   * @param {{min: number, max: number}} window What is shown of it, in seconds since 1970.
   */
  draw(pair, view, window) {
    this.clear();
    this.pair = pair;
    this.window = window;
    this.seconds = pair.binMinutes * 60;
    this.start = Date.parse(pair.timeOrigin) / 1000;
    const step = this.seconds * pair.binsPerPoint;
    const from = this.start + pair.fromBin * this.seconds;
    this.times = pair.baseline.highs.map((_, n) => from + n * step);
    this.sync = `pair ${(made += 1)}`;
    const { band, bound } = pair;
    const around = bound && { highs: bound, lows: bound.map((one) => (one === null ? null : -one)) };
    if (view === "difference") this.add(["difference"], around);
    else if (view === "overlay") this.add(["baseline", "comparison"], band);
    else for (const name of ["baseline", "comparison"]) this.add([name], band, this.common(band));
  }

  /** Fit the width of the place. */
  resize() {
    for (const plot of this.plots) plot.setSize({ width: this.width, height: TALL });
  }

  /** Show another window of what is drawn. */
  show(window) {
    for (const plot of this.plots) plot.setScale("x", window);
  }

  clear() {
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    this.place.replaceChildren();
  }

  get width() {
    return Math.max(200, this.place.clientWidth);
  }

  /** The range of both sides, so that neither looks larger than it is. */
  common(band) {
    const shown = [this.pair.baseline, this.pair.comparison, ...(band ? [band] : [])];
    const all = shown.flatMap(({ lows, highs }) => [...lows, ...highs]).filter((one) => one !== null);
    return all.length ? [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] : [0, 1];
  }

  add(names, band, range = null) {
    const root = h("div.panel-plot", {});
    this.place.append(root);
    const isThinned = this.pair.binsPerPoint > 1;
    const behind = band ? [band.highs, band.lows] : [];
    const none = new Array(this.times.length).fill(null);
    const columns = names.flatMap((name) => [this.pair[name].highs, isThinned ? this.pair[name].lows : none]);
    const plot = new uPlot(this.options(names, band, range, isThinned), [this.times, ...behind, ...columns], root);
    this.plots.push(plot);
  }

  options(names, band, range, isThinned) {
    const first = band ? 3 : 1;
    const lines = names.flatMap((name) => [line(name, isThinned), line(name, isThinned)]);
    const fills = names.map((name, n) => ({ series: [first + 2 * n, first + 2 * n + 1], fill: faded(COLOURS[name], 0.28) }));
    return {
      width: this.width,
      height: TALL,
      pxAlign: 0,
      legend: { show: false },
      scales: { x: timeScale(this.window), y: { range: (_, min, max) => roomy(...(range ?? [min, max])) } },
      cursor: sharedCursor(this.sync, this.onWindow),
      hooks: { setSelect: [(plot) => reportDragged(plot, this.onWindow)], setCursor: [(plot) => plot === this.plots[0] && this.pointed(plot)] },
      bands: [...(band ? [{ series: [1, 2], fill: faded("--good", 0.2) }] : []), ...fills],
      series: [{}, ...(band ? [hidden(), hidden()] : []), ...lines],
      axes: [this.timeAxis(), valueAxis(this.pair.unit)],
    };
  }

  timeAxis() {
    const line = { stroke: colour("--line"), width: 1 };
    const grid = { start: this.start, seconds: this.seconds };
    let found = { at: [], step: 0 };
    return {
      stroke: colour("--muted"),
      grid: line,
      ticks: line,
      splits: (plot, _, min, max) => {
        found = ticks(grid, min, max, (plot.width - AXIS) / TICK_ROOM);
        return found.at;
      },
      values: () => labels(found),
    };
  }

  pointed(plot) {
    const place = plot.cursor.idx;
    if (place === null || place === undefined) {
      this.onCursor(null);
      return;
    }
    const values = Object.fromEntries(
      Object.keys(COLOURS).map((name) => [name, [this.pair[name].lows[place], this.pair[name].highs[place]]]),
    );
    this.onCursor({ time: this.times[place], step: this.seconds * this.pair.binsPerPoint, values });
  }
}

function line(name, isThinned) {
  const dash = name === "comparison" && !isThinned ? [6, 3] : [];
  return { stroke: colour(COLOURS[name]), width: isThinned ? THIN : WIDE, dash, spanGaps: false, pxAlign: 0, points: { size: 5 } };
}

const hidden = () => ({ stroke: "transparent", width: 0, points: { show: false } });

function valueAxis(unit) {
  const line = { stroke: colour("--line"), width: 1 };
  return {
    stroke: colour("--muted"),
    grid: line,
    ticks: line,
    size: AXIS,
    label: unit ?? undefined,
    labelSize: unit ? 20 : 0,
    values: (_, found) => found.map(measured),
  };
}
