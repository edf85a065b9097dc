/** A uPlot chart by keyboard: arrows move the cursor over its points, + and − zoom around it, 0 shows everything. */

import { announce } from "../../toast.js";

export const CHART_KEYS = "Arrow keys move the cursor, plus and minus zoom, 0 shows everything.";

/**
 * @param {HTMLElement} box becomes focusable
 * @param {() => any} plot the uPlot that is there now; null before the first
 * @param {object} on
 * @param {(isPart: boolean) => void} [on.zoomed] whether a part is shown now
 * @param {(index: number) => string} [on.say] the values at a point, for a screen reader
 */
export function chartKeys(box, plot, { zoomed = () => {}, say } = {}) {
  box.tabIndex = 0;
  box.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End Plus Minus 0");
  box.addEventListener("keydown", (event) => {
    const u = plot();
    if (!u || event.ctrlKey || event.metaKey || event.altKey) return;
    const x = u.data[0];
    if (!x.length) return;
    const [first, last] = shown(x, u.scales.x.min, u.scales.x.max);
    const at = u.cursor.idx ?? last;
    const by = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: at - by, ArrowRight: at + by, Home: first, End: last }[event.key];
    if (to !== undefined) {
      const next = Math.min(last, Math.max(first, to));
      u.setCursor({ left: u.valToPos(x[next], "x"), top: u.over.clientHeight / 2 });
      if (say) announce(say(next));
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const part = zoom(u.scales.x.min, u.scales.x.max, x[at], event.key === "-" ? 2 : 0.5, x[0], x[x.length - 1]);
      u.setScale("x", part);
      zoomed(part.min > x[0] || part.max < x[x.length - 1]);
    } else if (event.key === "0" || event.key === "Escape") {
      u.setScale("x", { min: x[0], max: x[x.length - 1] });
      zoomed(false);
      if (event.key === "Escape") return; // it closes other things, too
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  box.addEventListener("blur", () => plot()?.setCursor({ left: -10, top: -10 }));
}

/**
 * First and last index of the points within a range.
 * @param {ArrayLike<number>} x ascending
 * @param {number} min
 * @param {number} max
 */
export function shown(x, min, max) {
  let [first, last] = [0, x.length - 1];
  while (first < last && x[first] < min) first += 1;
  while (last > first && x[last] > max) last -= 1;
  return [first, last];
}

/**
 * A range scaled around a point, within all there is.
 * @param {number} min
 * @param {number} max
 * @param {number} at
 * @param {number} factor
 * @param {number} least
 * @param {number} most
 */
export function zoom(min, max, at, factor, least, most) {
  return { min: Math.max(least, at - (at - min) * factor), max: Math.min(most, at + (max - at) * factor) };
}
