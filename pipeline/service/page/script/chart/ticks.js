// Ticks of a time axis: at starts of bins, at times that people count in, in UTC.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTH = 28 * DAY;
const FIXED = [
  ...[1, 2, 5, 10, 15, 20, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 4, 6, 8, 12].map((n) => n * HOUR),
  ...[1, 2, 3, 4, 7, 14].map((n) => n * DAY),
];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const MULTIPLES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/**
 * Return the ticks of a range.
 *
 * @param {{start: number, seconds: number}} grid Start of bin 0 and width of a bin.
 * @param {number} min
 * @param {number} max
 * @param {number} most Ticks that there is room for.
 * @returns {{at: number[], step: number}} Seconds since 1970, and about how far they are apart.
 */
export function ticks(grid, min, max, most) {
  const least = (max - min) / Math.max(1, most);
  const step = FIXED.find((one) => one >= least && one % grid.seconds === 0);
  if (step) return { at: spaced(anchor(grid, step), step, min, max), step };
  const months = MONTHS.find((one) => one * MONTH >= least);
  if (grid.seconds <= DAY && months && least > FIXED.at(-1)) return { at: ofMonths(months, min, max), step: months * MONTH };
  const wide = MULTIPLES.map((one) => one * grid.seconds).find((one) => one >= least) ?? Math.ceil(least / grid.seconds) * grid.seconds;
  return { at: spaced(grid.start, wide, min, max), step: wide };
}

/** Return the texts of ticks; the date or the year is on a second line where it changes. */
export function labels({ at, step }) {
  let before = "";
  return at.map((seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    const [small, large] =
      step >= 12 * MONTH ? [text.slice(0, 4), ""]
      : step >= MONTH ? [text.slice(0, 7), ""]
      : step >= DAY ? [text.slice(5, 10), text.slice(0, 4)]
      : [text.slice(11, 16), text.slice(0, 10)];
    const isOther = large !== before;
    before = large;
    return isOther ? `${small}\n${large}` : small;
  });
}

/** Midnights where bins start at them, else the start of the grid. */
function anchor(grid, step) {
  const midnight = Math.floor(grid.start / DAY) * DAY;
  const isWhole = step < 2 * DAY && (grid.start - midnight) % Math.min(grid.seconds, step) === 0;
  return isWhole ? midnight : grid.start;
}

function spaced(start, step, min, max) {
  const found = [];
  for (let n = Math.ceil((min - start) / step); start + n * step <= max; n += 1) found.push(start + n * step);
  return found;
}

function ofMonths(months, min, max) {
  const first = new Date(min * 1000);
  const found = [];
  let number = first.getUTCFullYear() * 12 + first.getUTCMonth();
  number = Math.ceil(number / months) * months;
  for (;;) {
    const seconds = Date.UTC(Math.floor(number / 12), number % 12, 1) / 1000;
    if (seconds > max) return found;
    if (seconds >= min) found.push(seconds);
    number += months;
  }
}
