// Values of series within a window of time, as the service reads them from the files.

import { ask } from "../api.js";

const KEPT = 60;

/**
 * @typedef {object} SeriesValues
 * @property {string} seriesId
 * @property {string | null} unit
 * @property {number} fromBin First bin of the window.
 * @property {number} toBin Bin after the last one.
 * @property {number} binsPerPoint 1 where every value of the window is there.
 * @property {number[]} bins
 * @property {number[]} values
 * @property {{bins: number[], lows: number[], highs: number[]} | null} band
 */

/** Reads windows of series, and keeps those that were read last. */
export class WindowReader {
  /**
   * @param {{from: string, bins: number, binMinutes: number}} time The time of the series, from the start of bin 0.
   * @param {(id: string) => string} pathOf Path of a series.
   * @param {number} points Most points of a window.
   * @param {AbortSignal} signal
   */
  constructor({ from, bins, binMinutes }, pathOf, points, signal) {
    this.pathOf = pathOf;
    this.points = points;
    this.signal = signal;
    this.start = Date.parse(from) / 1000;
    this.seconds = binMinutes * 60;
    this.bins = bins;
    this.kept = new Map();
  }

  /** Start of bin 0 and the end of the last bin, in seconds since 1970. */
  get whole() {
    return { min: this.start, max: this.start + this.bins * this.seconds };
  }

  /**
   * Return the values of a series in the bins that touch a window.
   *
   * One bin more on each side lets lines run to the edges.
   *
   * @param {string} id
   * @param {{min: number, max: number}} window
   * @returns {Promise<any>} `SeriesValues` of a run, a `Pair` of a comparison.
   */
  read(id, window) {
    const from = Math.max(0, Math.floor((window.min - this.start) / this.seconds) - 1);
    const to = Math.min(this.bins, Math.ceil((window.max - this.start) / this.seconds) + 1);
    const key = `${from} ${to} ${id}`;
    const known = this.kept.get(key);
    if (known) return known;
    const query = new URLSearchParams({ points: String(this.points) });
    if (from > 0) query.set("from", this.instant(from));
    if (to < this.bins) query.set("to", this.instant(to));
    const reading = ask(`${this.pathOf(id)}?${query}`, { signal: this.signal });
    this.kept.set(key, reading);
    reading.catch(() => this.kept.delete(key));
    for (const old of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(old);
    }
    return reading;
  }

  /** Return the start of a bin as the API spells it. */
  instant(bin) {
    return new Date((this.start + bin * this.seconds) * 1000).toISOString();
  }
}

/**
 * Lay series of one window over a common time axis.
 *
 * A bin without a finite value is a gap, never a line drawn across.
 *
 * @param {WindowReader} reader
 * @param {SeriesValues[]} series
 * @returns {{times: number[], lows: (number | null)[][], highs: (number | null)[][]}}
 */
export function laidOut(reader, series) {
  const [{ fromBin, toBin, binsPerPoint }] = series;
  const length = Math.ceil((toBin - fromBin) / binsPerPoint);
  const times = Array.from({ length }, (_, n) => reader.start + (fromBin + n * binsPerPoint) * reader.seconds);
  const lows = [];
  const highs = [];
  for (const one of series) {
    const low = new Array(length).fill(null);
    const high = new Array(length).fill(null);
    const { bins, lows: least, highs: most } = one.band ?? { bins: one.bins, lows: one.values, highs: one.values };
    bins.forEach((bin, n) => {
      const place = Math.floor((bin - fromBin) / binsPerPoint);
      low[place] = least[n];
      high[place] = most[n];
    });
    lows.push(low);
    highs.push(high);
  }
  return { times, lows, highs };
}
