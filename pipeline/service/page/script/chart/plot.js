// What all plots over time share: scales, the cursor, and the window chosen by dragging.

import { colour } from "../theme.js";

/** @typedef {{min: number, max: number}} Window In seconds since 1970. */

/** Return the scale of time of a plot. @param {Window} window What is shown at first. */
export const timeScale = ({ min, max }) => ({ time: false, min, max, range: (_, from, to) => [from, to] });

/**
 * Return the cursor of plots that are read together.
 *
 * @param {string} key Plots with the same key have one cursor.
 * @param {(window: null) => void} onWindow Called with null, for all, at a double click.
 */
export const sharedCursor = (key, onWindow) => ({
  y: false,
  drag: { x: true, y: false, setScale: false, dist: 4 },
  bind: { dblclick: () => () => onWindow(null) },
  sync: { key, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
});

/** Report the window that was chosen by dragging, and unmark it. @param {(window: Window) => void} onWindow */
export function reportDragged(plot, onWindow) {
  const { left, width } = plot.select;
  if (width <= 0) return;
  const window = { min: plot.posToVal(left, "x"), max: plot.posToVal(left + width, "x") };
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onWindow(window);
}

/** Return a colour of the style sheet with an opacity, 0 to 1. */
export const faded = (name, opacity) => colour(name).replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);

/** Return a range with some room; a constant gets one too. */
export function roomy(min, max) {
  if (min === null || max === null) return [0, 1];
  const room = max > min ? (max - min) * 0.06 : Math.abs(max) * 0.1 || 1;
  return [min - room, max + room];
}
