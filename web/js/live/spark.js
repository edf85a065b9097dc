/** A small line without axes; the newest value is at the right edge. */
import { s } from "../dom.js";

/**
 * @param {string} color CSS colour
 * @param {{ low?: number, high?: number, zero?: boolean }} [options] fixed bounds; `zero` draws the zero line
 */
export function spark(color, { low, high, zero = false } = {}) {
  const line = s("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
  line.style.stroke = color;
  const axis = s("path", { class: "spark-zero", "vector-effect": "non-scaling-stroke" });
  const node = s("svg", { class: "spark", viewBox: "0 0 95 24", preserveAspectRatio: "none", "aria-hidden": "true" }, axis, line);
  /** @param {readonly number[]} values oldest first, at most 96 */
  const draw = (values) => {
    if (values.length < 2) {
      line.setAttribute("d", "");
      return;
    }
    let least = low ?? Infinity;
    let most = high ?? -Infinity;
    if (low === undefined || high === undefined) {
      for (const value of values) {
        if (low === undefined && value < least) least = value;
        if (high === undefined && value > most) most = value;
      }
    }
    if (zero) {
      least = Math.min(least, 0);
      most = Math.max(most, 0);
    }
    const span = most - least > 1e-9 ? most - least : 1;
    const place = (/** @type {number} */ value) => (22.5 - (21 * (value - least)) / span).toFixed(1);
    const first = 96 - values.length;
    line.setAttribute("d", `M${values.map((value, k) => `${first + k} ${place(value)}`).join("L")}`);
    if (zero) axis.setAttribute("d", `M0 ${place(0)}H95`);
  };
  return { node, draw };
}
