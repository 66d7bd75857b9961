// The window of time that a chart shows: moved by keys, buttons and dragging, kept in the query.

import { tool } from "../parts.js";

const LEAST_BINS = 2;
const KEYS = { "+": ["zoom", 0.5], "-": ["zoom", 2], ArrowLeft: ["pan", -0.25], ArrowRight: ["pan", 0.25], 0: ["go", null] };

/** What the keys of a chart do, for its label. */
export const KEYS_IN_WORDS = "Plus and minus zoom, arrows move, 0 shows all.";

export class Navigation {
  /**
   * @param {import("./values.js").WindowReader} reader Reads the bins that there are.
   * @param {URLSearchParams} query `from` and `to` are kept in it.
   * @param {() => void} moved Called after each change of `window` and `query`.
   * @param {() => boolean} [canMove] Whether there is a chart to move.
   */
  constructor(reader, query, moved, canMove = () => true) {
    this.reader = reader;
    this.query = query;
    this.moved = moved;
    this.canMove = canMove;
    /** What is shown, in seconds since 1970. @type {{min: number, max: number}} */
    this.window = this.windowOfQuery();
  }

  /** Show a window; null for all. */
  go(window) {
    if (!this.canMove()) return;
    const { whole } = this.reader;
    this.window = this.within(window ?? whole);
    const isAll = this.window.min <= whole.min && this.window.max >= whole.max;
    for (const [key, at] of [["from", this.window.min], ["to", this.window.max]]) {
      if (isAll) this.query.delete(key);
      else this.query.set(key, new Date(Math.round(at) * 1000).toISOString().replace(".000Z", "Z"));
    }
    this.moved();
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

  /** Follow a key that was pressed on the chart. */
  key(event) {
    const found = KEYS[event.key];
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [move, argument] = found;
    this[move](argument);
  }

  /** Make the buttons. */
  tools() {
    return [
      tool("←", "Earlier", () => this.pan(-0.5)),
      tool("→", "Later", () => this.pan(0.5)),
      tool("+", "Zoom in", () => this.zoom(0.5)),
      tool("−", "Zoom out", () => this.zoom(2)),
      tool("All", "Show the whole time", () => this.go(null)),
    ];
  }

  windowOfQuery() {
    const [min, max] = ["from", "to"].map((key) => Date.parse(this.query.get(key) ?? "") / 1000);
    const { whole } = this.reader;
    return this.within({ min: Number.isNaN(min) ? whole.min : min, max: Number.isNaN(max) ? whole.max : max });
  }

  /** Bring a window to bins that there are, at least some of them. */
  within({ min, max }) {
    const { min: first, max: last } = this.reader.whole;
    const width = Math.min(last - first, Math.max(max - min, LEAST_BINS * this.reader.seconds));
    const start = Math.max(first, Math.min((min + max - width) / 2, last - width));
    return { min: start, max: start + width };
  }
}
