/** KPIs of a few policies as a wheel: the best of the compared at the rim, the worst at the centre. */

import { h, s } from "../../dom.js";
import { lineStyle } from "../kit/style.js";
import { fixed, WHEEL } from "./kpis.js";
import { wheel } from "./shape.js";

const R = 118;

/**
 * Policies to begin with: the best trained one, the best rule, the best MPC, the optimum.
 * @param {import("./shape.js").Row[]} rows
 */
export function telling(rows) {
  const best = (/** @type {string} */ kind) =>
    rows.filter((row) => row.kind === kind).sort((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity))[0]?.name;
  return [...new Set(["policy", "rule", "mpc", "optimum"].map(best).filter((name) => name !== undefined))];
}

/**
 * @param {import("./shape.js").Row[]} rows
 * @param {string[]} names all policies, in the order of their colours
 * @param {Set<string>} shown
 * @param {() => void} redraw
 */
export function radar(rows, names, shown, redraw) {
  const axes = WHEEL.filter((axis) => rows.some((row) => axis.value(row) !== null));
  const turns = wheel(rows, axes);
  const place = (/** @type {number} */ k, /** @type {number} */ part) => {
    const angle = (2 * Math.PI * k) / axes.length - Math.PI / 2;
    return [Math.cos(angle) * part * R, Math.sin(angle) * part * R];
  };
  const rings = [0.25, 0.5, 0.75, 1].map((part) => s("polygon", { class: "ring", points: axes.map((_, k) => place(k, part).join()).join(" ") }));
  const spokes = axes.map((axis, k) => {
    const [x, y] = place(k, 1);
    const [tx, ty] = place(k, 1.13);
    const anchor = Math.abs(tx) < 20 ? "middle" : tx > 0 ? "start" : "end";
    return s("g", {}, s("line", { class: "ring", x1: 0, y1: 0, x2: x, y2: y }), s("text", { x: tx, y: ty + 4, "text-anchor": anchor }, axis.label));
  });
  const shapes = turns.filter((turn) => shown.has(turn.name)).map((turn) => {
    const { token, dash } = lineStyle(names.indexOf(turn.name));
    const points = turn.values.map((value, k) => place(k, 0.06 + 0.94 * (value ?? 0)));
    return s("g", { class: "shape", vars: { "--c": `var(${token})` } },
      s("polygon", { points: points.map((p) => p.join()).join(" "), "stroke-dasharray": dash.join(" ") || null }),
      points.map(([x, y]) => s("circle", { cx: x, cy: y, r: 2.5 })));
  });
  const legend = h("ul", { class: "chart-legend" }, rows.filter((row) => names.includes(row.name)).map((row) => {
    const { token, dash } = lineStyle(names.indexOf(row.name));
    return h("li", {}, h("button", {
      type: "button", "aria-pressed": String(shown.has(row.name)),
      onclick: () => { shown.has(row.name) ? shown.delete(row.name) : shown.add(row.name); redraw(); },
    }, h("i", { class: dash.length ? "swatch dashed" : "swatch", vars: { "--c": `var(${token})` } }), row.name));
  }));
  const label = turns.filter((turn) => shown.has(turn.name))
    .map((turn) => `${turn.name}: ${axes.map((axis, k) => `${axis.label} ${fixed(turn.values[k], 2)}`).join(", ")}`).join("; ");
  return h("figure", { class: "radar" },
    s("svg", { viewBox: "-240 -150 480 300", role: "img", "aria-label": `KPIs from 0, the worst of the compared, to 1, the best. ${label}` }, rings, spokes, shapes), legend);
}
