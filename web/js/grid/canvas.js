/** What is drawn on Canvas: cables and links, which stand still, and the feeder with its loadings. */
import { palette } from "../status.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {import("../types.d.ts").Hello} Hello */
/** @typedef {{ x: number, y: number, k: number }} Transform */

/** A canvas as large as its parent, sharp on any screen. */
export class Layer {
  constructor() {
    this.node = document.createElement("canvas");
    this.node.setAttribute("aria-hidden", "true");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.node.getContext("2d"));
    this.ratio = 1;
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.node.width = Math.round(width * this.ratio);
    this.node.height = Math.round(height * this.ratio);
  }

  /**
   * Cleared, and moved to where the person zoomed.
   * @param {Transform} transform
   */
  begin({ x, y, k }) {
    const { context, ratio, node } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, node.width, node.height);
    context.setTransform(ratio * k, 0, 0, ratio * k, ratio * x, ratio * y);
    return context;
  }
}

/**
 * What no step changes: the cables from buses to prosumers, and the links, those of the selected one stronger.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Hello} hello
 * @param {string | null} selected
 */
export function drawStill(c, place, hello, selected) {
  const colors = palette();
  const thin = place.buses.length > 150 ? 0.5 : 1;
  c.lineCap = c.lineJoin = "round";
  c.strokeStyle = colors["line-strong"];
  c.lineWidth = 1.2 * thin;
  c.beginPath();
  for (const { points } of place.feeds) trace(c, points, 2);
  c.stroke();
  c.strokeStyle = colors["c-transfer"];
  for (const strong of [false, true]) {
    c.globalAlpha = strong ? 0.75 : 0.28;
    c.lineWidth = strong ? 1.8 : 1.2 * thin;
    c.beginPath();
    for (const { source, target } of hello.links) {
      const along = place.links.get(`${source}>${target}`);
      if (along && strong === (selected === source || selected === target)) trace(c, along.points);
    }
    c.stroke();
  }
  c.globalAlpha = 1;
}

/**
 * The feeder with its loadings and voltages. Lines of one look are one path: a thousand strokes cost more than one.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Hello} hello
 * @param {Frame | null} frame
 */
export function drawFeeder(c, place, hello, frame) {
  const colors = palette();
  c.lineCap = c.lineJoin = "round";
  const thin = place.buses.length > 150 ? 0.5 : 1;
  const open = new Set(frame?.branches.open ?? []);
  /** @type {Map<string, { x: number, y: number }[][]>} */
  const looks = new Map();
  /** @type {{ x: number, y: number }[][]} */
  const dead = [];
  place.branches.forEach((points, k) => {
    if (open.has(k) || (frame?.islanded && k === hello.feeder?.transformer)) {
      dead.push(points);
      return;
    }
    const load = frame?.branches.loading[k] ?? 0;
    const width = Math.round((1.6 + 4 * Math.min(load, 1.2)) * thin * 5) / 5;
    add(looks, `${load > 1 ? "poor" : load > 0.8 ? "fair" : "line-strong"} ${width}`, points);
  });
  for (const [look, ways] of looks) {
    const [color, width] = look.split(" ");
    c.strokeStyle = colors[color];
    c.lineWidth = Number(width);
    c.beginPath();
    for (const points of ways) trace(c, points);
    c.stroke();
  }
  c.strokeStyle = colors["text-3"];
  c.lineWidth = 1.5;
  c.setLineDash([2, 5]);
  c.beginPath();
  for (const points of dead) trace(c, points);
  c.stroke();
  c.setLineDash([]);
  for (const points of dead) breaker(c, points, colors);
  drawBuses(c, place, hello, frame, colors);
  transformer(c, place, hello, colors);
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Hello} hello
 * @param {Frame | null} frame
 * @param {Record<string, string>} colors
 */
function drawBuses(c, place, hello, frame, colors) {
  const [low, high] = hello.feeder?.voltage_band_pu ?? [0.9, 1.1];
  const size = place.buses.length > 150 ? 1 : 2.4;
  /** @type {Map<string, { x: number, y: number }[]>} */
  const looks = new Map();
  place.buses.forEach((bus, i) => {
    const v = frame?.buses.voltage_pu[i] ?? 1;
    add(looks, v === 0 ? "text-3" : v < low || v > high ? "poor" : "line-strong", bus);
  });
  for (const [color, buses] of looks) {
    c.fillStyle = colors[color];
    c.beginPath();
    for (const { x, y } of buses) {
      if (size > 1) {
        c.moveTo(x + size, y);
        c.arc(x, y, size, 0, 6.2832);
      } else c.rect(x - size, y - size, 2 * size, 2 * size);
    }
    c.fill();
  }
}

/**
 * Into the group of a key, begun where there is none.
 * @template T
 * @param {Map<string, T[]>} groups
 * @param {string} key
 * @param {T} item
 */
export function add(groups, key, item) {
  const group = groups.get(key);
  if (group) group.push(item);
  else groups.set(key, [item]);
}

/**
 * A line of the path that was begun.
 * @param {CanvasRenderingContext2D} c
 * @param {{ x: number, y: number }[]} points
 * @param {number} [most] points of it
 */
function trace(c, points, most = points.length) {
  c.moveTo(points[0].x, points[0].y);
  for (let k = 1; k < most; k += 1) c.lineTo(points[k].x, points[k].y);
}

/**
 * An open contact in the middle of the last piece.
 * @param {CanvasRenderingContext2D} c
 * @param {{ x: number, y: number }[]} points
 * @param {Record<string, string>} colors
 */
function breaker(c, points, colors) {
  const [a, b] = points.slice(-2);
  if (Math.hypot(b.x - a.x, b.y - a.y) < 44) return; // no room: the dashes say it
  const [x, y] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
  c.save();
  c.translate(x, y);
  c.rotate(Math.atan2(b.y - a.y, b.x - a.x));
  c.setLineDash([]);
  c.clearRect(-9, -9, 18, 18);
  c.strokeStyle = c.fillStyle = colors.poor;
  c.lineWidth = 2;
  c.beginPath();
  c.moveTo(-8, 0);
  c.lineTo(6, -7);
  c.stroke();
  for (const end of [-8, 8]) {
    c.beginPath();
    c.arc(end, 0, 2.4, 0, 7);
    c.fill();
  }
  c.restore();
}

/**
 * Two circles, as in a circuit diagram.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Hello} hello
 * @param {Record<string, string>} colors
 */
function transformer(c, place, hello, colors) {
  const k = hello.feeder?.transformer;
  if (k === null || k === undefined) return;
  const [a, b] = place.branches[k].slice(-2);
  const r = Math.max(3, Math.min(7, Math.abs(b.x - a.x) / 9));
  const [x, y] = [a.x + 0.66 * (b.x - a.x), a.y + 0.66 * (b.y - a.y)];
  c.strokeStyle = colors["text-2"];
  c.fillStyle = colors.surface;
  c.lineWidth = 1.6;
  for (const dx of [-0.6 * r, 0.6 * r]) {
    c.beginPath();
    c.arc(x + dx, y, r, 0, 7);
    if (dx < 0) c.fill();
    c.stroke();
  }
}
