// Series drawn over time with uPlot: zoom by dragging, values under the pointer.

import uPlot from "../vendor/uPlot.js";
import { colour } from "./theme.js";
import { measured } from "./wording.js";

const HEIGHT = 300;
const MOST_AXES = 2;

// Seconds between ticks, what a tick says, and what it says where the year, the day or the minute is
// another: rows of uPlot's own kind, but with dates that every country reads alike.
const DAY = "\n{YYYY}-{MM}-{DD}";
const TICKS = [
  [86_400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [86_400 * 28, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [86_400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", DAY, null, DAY, null, null, null, 1],
];

/** Lines that can be told apart at a time. */
export const MOST_SERIES = 6;

/**
 * Draw series into an element.
 *
 * @param {HTMLElement} place
 * @param {{seriesId: string, unit: string | null, bins: number[], values: number[],
 *   timeOrigin: string, binMinutes: number}[]} series
 * @returns {uPlot}
 */
export function draw(place, series) {
  const units = [...new Set(series.map((one) => one.unit ?? ""))];
  const options = {
    width: Math.max(200, place.clientWidth),
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
    focus: { alpha: 0.35 },
    scales: Object.fromEntries(units.map((unit) => [scaleOf(unit), {}])),
    axes: axes(units),
    series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...series.map(line)],
  };
  const tables = series.map((one) => [times(one), one.values]);
  return new uPlot(options, uPlot.join(tables), place);
}

/** Show a part of what is shown now: half of it, or all again. */
export function zoom(plot, factor) {
  const [all] = plot.data;
  const { min, max } = plot.scales.x;
  const middle = (min + max) / 2;
  const half = ((max - min) / 2) * factor;
  plot.setScale("x", { min: Math.max(all[0], middle - half), max: Math.min(all.at(-1), middle + half) });
}

/** Show the whole time again. */
export function showAll(plot) {
  const [all] = plot.data;
  plot.setScale("x", { min: all[0], max: all.at(-1) });
}

const scaleOf = (unit) => `unit ${unit}`;

function times({ bins, timeOrigin, binMinutes }) {
  const start = Date.parse(timeOrigin) / 1000;
  return bins.map((bin) => start + bin * binMinutes * 60);
}

function line({ seriesId, unit }, place) {
  return {
    label: unit ? `${seriesId} (${unit})` : seriesId,
    scale: scaleOf(unit ?? ""),
    stroke: colour(`--series-${place + 1}`),
    width: 1.75,
    // Series are thinned out at bins of their own; their lines go on between them.
    spanGaps: true,
    value: (_, value) => (value === null || value === undefined ? "–" : measured(value)),
  };
}

function axes(units) {
  const grid = { stroke: colour("--line"), width: 1 };
  const drawn = { stroke: colour("--muted"), grid, ticks: grid };
  const time = { ...drawn, values: TICKS };
  const values = units.slice(0, MOST_AXES).map((unit, place) => ({
    ...drawn,
    scale: scaleOf(unit),
    side: place === 0 ? 3 : 1,
    label: unit,
    labelSize: 22,
    size: 64,
    grid: place === 0 ? grid : { show: false },
    values: (_, ticks) => ticks.map((tick) => measured(tick)),
  }));
  return [time, ...values];
}
