/** Prosumers on Canvas, for communities with more of them than the browser likes elements. */
import { palette, STATUS } from "../status.js";
import { add } from "./canvas.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("./canvas.js").Transform} Transform */
/** @typedef {import("../types.d.ts").Frame} Frame */

/** @type {Map<string, Path2D>} */
const shapes = new Map();
const LEAST_SHAPE = 5; // px of a prosumer's radius, below which no shape is told from another

/**
 * Draw those in sight. Prosumers of one look are one path, as a thousand strokes cost more than one.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Frame | null} frame
 * @param {string | null} selected
 * @param {Transform} transform
 */
export function drawAgents(c, place, frame, selected, { x: left, y: top, k: zoom }) {
  const colors = palette();
  const r = place.radius;
  const [x0, x1] = [-left / zoom - r, (place.width - left) / zoom + r];
  const [y0, y1] = [-top / zoom - r, (place.height - top) / zoom + r];
  /** @type {Map<string, { x: number, y: number, charge: number }[]>} */
  const looks = new Map();
  c.fillStyle = colors["surface-2"];
  c.beginPath();
  place.agents.forEach(({ x, y, id }, i) => {
    if (x < x0 || x > x1 || y < y0 || y > y1) return;
    const agent = frame?.agents[i];
    add(looks, agent?.status ?? "balanced", { x, y, charge: agent?.energy_level ?? 0 });
    if (id === selected) return;
    c.moveTo(x + r, y);
    c.arc(x, y, r, 0, 6.2832);
  });
  c.fill();
  const chosen = selected === null ? undefined : place.agents[place.indexOf.get(selected) ?? -1];
  if (chosen) {
    c.fillStyle = colors.accent;
    c.beginPath();
    c.arc(chosen.x, chosen.y, r, 0, 6.2832);
    c.fill();
  }
  c.lineWidth = Math.max(1, r * 0.24);
  c.lineCap = "butt";
  for (const [status, agents] of looks) {
    c.strokeStyle = c.fillStyle = colors[`s-${status}`];
    c.beginPath();
    for (const { x, y, charge } of agents) {
      c.moveTo(x, y - r);
      c.arc(x, y, r, -1.5708, -1.5708 + 6.2832 * charge);
    }
    c.stroke();
    if (!frame) continue;
    if (r * zoom < LEAST_SHAPE) dots(c, agents, r * 0.4);
    else fillShapes(c, status, agents, r * 0.45);
  }
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {{ x: number, y: number }[]} agents
 * @param {number} half of the side
 */
function dots(c, agents, half) {
  c.beginPath();
  for (const { x, y } of agents) c.rect(x - half, y - half, 2 * half, 2 * half);
  c.fill();
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {string} status
 * @param {{ x: number, y: number }[]} agents
 * @param {number} size
 */
function fillShapes(c, status, agents, size) {
  let shape = shapes.get(status);
  if (!shape) shapes.set(status, (shape = new Path2D(STATUS[/** @type {keyof typeof STATUS} */ (status)].shape)));
  const all = new Path2D();
  for (const { x, y } of agents) all.addPath(shape, { a: size, b: 0, c: 0, d: size, e: x, f: y });
  c.fill(all);
}
