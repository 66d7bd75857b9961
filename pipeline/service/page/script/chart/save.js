// A chart as a picture, and what it shows as CSV.

import { h } from "../element.js";
import { colour } from "../theme.js";
import { laidOut } from "./values.js";

const ROW = 20;
const FONT = "13px system-ui, sans-serif";

/** Return a PNG of panels with a title and a legend. @returns {Promise<Blob>} */
export function picture(panels, title, note) {
  const canvases = panels.panels.map(({ plot }) => plot.ctx.canvas);
  const scale = devicePixelRatio;
  const lines = panels.panels.flatMap((panel) => panel.lines);
  const width = Math.max(...canvases.map((one) => one.width));
  const head = (2 + lines.length) * ROW * scale;
  const canvas = h("canvas", { width, height: head + canvases.reduce((sum, one) => sum + one.height, 0) });
  const context = canvas.getContext("2d");
  context.fillStyle = colour("--surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.save();
  context.scale(scale, scale);
  context.font = FONT;
  context.fillStyle = colour("--ink");
  context.fillText(title, 12, ROW * 0.9);
  lines.forEach(({ series, slot }, n) => {
    const y = ROW * (n + 1.9);
    context.fillStyle = colour(`--series-${slot + 1}`);
    context.fillRect(12, y - 9, 14, 8);
    context.fillStyle = colour("--ink");
    context.fillText(series.unit ? `${series.seriesId} (${series.unit})` : series.seriesId, 32, y);
  });
  context.fillStyle = colour("--muted");
  context.fillText(note, 12, ROW * (lines.length + 1.9));
  context.restore();
  let top = head;
  for (const one of canvases) {
    context.drawImage(one, 0, top);
    top += one.height;
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/**
 * Return what a chart shows as CSV.
 *
 * Where points cover several bins, there are two columns for each series: lowest and highest.
 *
 * @param {import("./values.js").WindowReader} reader
 * @param {import("./values.js").SeriesValues[]} series
 * @param {{min: number, max: number}} window
 */
export function asCsv(reader, series, window) {
  const { times, lows, highs } = laidOut(reader, series);
  const isBand = series[0].binsPerPoint > 1;
  const names = series.flatMap(({ seriesId }) => (isBand ? [`${seriesId} lowest`, `${seriesId} highest`] : [seriesId]));
  const width = series[0].binsPerPoint * reader.seconds;
  const rows = times.flatMap((time, n) => {
    if (time + width <= window.min || time >= window.max) return [];
    const cells = series.flatMap((_, one) => (isBand ? [lows[one][n], highs[one][n]] : [highs[one][n]]));
    return [[new Date(time * 1000).toISOString().replace(".000Z", "Z"), ...cells.map((cell) => cell ?? "")]];
  });
  return [["time_bin", ...names.map(cell)], ...rows].map((row) => row.join(",")).join("\n") + "\n";
}

/** Save a blob under a name. */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name.replace(/[^\w.@-]+/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** A quoted cell; what a spreadsheet would take for a formula begins with an apostrophe. */
function cell(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
