/** What is drawn on Canvas: the feeder, the links, the dots that move, and above 200 prosumers these too. */
import { palette, STATUS } from "../status.js";
import { pointAt } from "./layout.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("./layout.js").Way} Way */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {import("../types.d.ts").Hello} Hello */
/** @typedef {{ x: number, y: number, k: number }} Transform */

const FULL_KW = 5; // a flow of this power has the largest dots
const MOST_DOTS = 1500;

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
 * Feeder with loadings, then links.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Hello} hello
 * @param {Frame | null} frame
 * @param {string | null} selected
 */
export function drawFeeder(c, place, hello, frame, selected) {
  const colors = palette();
  c.lineCap = "round";
  c.lineJoin = "round";
  const thin = place.buses.length > 150 ? 0.5 : 1;
  const open = new Set(frame?.branches.open ?? []);
  place.branches.forEach((points, k) => {
    const load = frame?.branches.loading[k] ?? 0;
    const dead = open.has(k) || (frame?.islanded && k === hello.feeder?.transformer);
    c.strokeStyle = dead ? colors["text-3"] : load > 1 ? colors.poor : load > 0.8 ? colors.fair : colors["line-strong"];
    c.lineWidth = dead ? 1.5 : (1.6 + 4 * Math.min(load, 1.2)) * thin;
    c.setLineDash(dead ? [2, 5] : []);
    trace(c, points);
    c.stroke();
    if (dead) breaker(c, points, colors);
  });
  c.setLineDash([]);
  const band = hello.feeder?.voltage_band_pu ?? [0.9, 1.1];
  const size = place.buses.length > 150 ? 1 : 2.4;
  place.buses.forEach((bus, i) => {
    const v = frame?.buses.voltage_pu[i] ?? 1;
    c.fillStyle = v === 0 ? colors["text-3"] : v < band[0] || v > band[1] ? colors.poor : colors["line-strong"];
    c.beginPath();
    c.arc(bus.x, bus.y, size, 0, 7);
    c.fill();
  });
  c.strokeStyle = colors["line-strong"];
  c.lineWidth = 1.2 * thin;
  for (const { points } of place.feeds) {
    trace(c, points.slice(0, 2));
    c.stroke();
  }
  transformer(c, place, hello, colors);
  for (const { source, target } of hello.links) {
    const along = place.links.get(`${source}>${target}`);
    if (!along) continue;
    const near = selected === source || selected === target;
    c.strokeStyle = colors["c-transfer"];
    c.globalAlpha = near ? 0.75 : 0.28;
    c.lineWidth = near ? 1.8 : 1.2 * thin;
    trace(c, along.points);
    c.stroke();
  }
  c.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} c @param {{ x: number, y: number }[]} points */
function trace(c, points) {
  c.beginPath();
  c.moveTo(points[0].x, points[0].y);
  for (let k = 1; k < points.length; k += 1) c.lineTo(points[k].x, points[k].y);
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

/** Dots that move along the ways of a frame's flows; their number, size and speed grow with the power. */
export class Flows {
  constructor() {
    /** @type {{ key: string, along: Way, color: string, speed: number, size: number, gap: number, phase: number }[]} */
    this.flows = [];
    this.out = { x: 0, y: 0, angle: 0 };
  }

  /** @param {Layout} place @param {Frame | null} frame */
  update(place, frame) {
    const colors = palette();
    const phases = new Map(this.flows.map(({ key, phase }) => [key, phase]));
    const flows = frame?.energy_flows ?? [];
    const crowd = Math.max(1, flows.length / 25);
    this.flows = [];
    for (const { source, target, power_kw } of flows) {
      const key = `${source}>${target}`;
      const selling = target === "grid";
      const trade = selling || source === "grid";
      const i = place.indexOf.get(selling ? source : target);
      const along = trade ? (i === undefined ? undefined : place.feeds[i]) : place.links.get(key);
      if (!along || along.length < 1) continue;
      const strength = Math.sqrt(Math.min(1, power_kw / FULL_KW));
      this.flows.push({
        key, along, color: colors[!trade ? "c-transfer" : selling ? "c-export" : "c-import"],
        speed: (14 + 46 * strength) * (trade && !selling ? -1 : 1), // feeds run from the prosumer to the utility
        size: (1.4 + 2.2 * strength) / Math.sqrt(Math.min(crowd, 4)), gap: (46 - 26 * strength) * crowd, phase: phases.get(key) ?? (i ?? 0) * 7.3,
      });
    }
  }

  /**
   * @param {CanvasRenderingContext2D} c
   * @param {number} seconds since the last picture; 0 stands still and shows directions by arrow heads instead
   */
  draw(c, seconds) {
    const { out } = this;
    let dots = 0;
    for (const flow of this.flows) {
      const { along, color, speed, size, gap } = flow;
      flow.phase = (flow.phase + Math.abs(speed) * seconds) % gap;
      c.fillStyle = color;
      c.beginPath();
      for (let length = flow.phase; length < along.length && dots < MOST_DOTS; length += gap) {
        pointAt(along, speed > 0 ? length : along.length - length, out);
        dots += 1;
        if (seconds > 0) {
          c.moveTo(out.x + size, out.y);
          c.arc(out.x, out.y, size, 0, 6.2832);
        } else {
          head(c, out, speed > 0 ? out.angle : out.angle + Math.PI, size + 1.6);
        }
      }
      c.fill();
    }
  }
}

/** @param {CanvasRenderingContext2D} c @param {{ x: number, y: number }} at @param {number} angle @param {number} size */
function head(c, { x, y }, angle, size) {
  const [cos, sin] = [Math.cos(angle) * size, Math.sin(angle) * size];
  c.moveTo(x + cos, y + sin);
  c.lineTo(x - cos - sin * 0.8, y - sin + cos * 0.8);
  c.lineTo(x - cos + sin * 0.8, y - sin - cos * 0.8);
  c.closePath();
}

/** @type {Map<string, Path2D>} */
const shapes = new Map();

/**
 * Prosumers without SVG, for communities with more of them than the browser likes elements.
 * @param {CanvasRenderingContext2D} c
 * @param {Layout} place
 * @param {Frame | null} frame
 * @param {string | null} selected
 */
export function drawAgents(c, place, frame, selected) {
  const colors = palette();
  const r = place.radius;
  c.lineWidth = Math.max(1, r * 0.24);
  place.agents.forEach(({ x, y, id }, i) => {
    const agent = frame?.agents[i];
    const color = colors[`s-${agent?.status ?? "balanced"}`];
    c.fillStyle = id === selected ? colors.accent : colors["surface-2"];
    c.beginPath();
    c.arc(x, y, r, 0, 6.2832);
    c.fill();
    c.strokeStyle = color;
    c.beginPath();
    c.arc(x, y, r, -1.5708, -1.5708 + 6.2832 * (agent?.energy_level ?? 0));
    c.stroke();
    if (!agent) return;
    let shape = shapes.get(agent.status);
    if (!shape) shapes.set(agent.status, (shape = new Path2D(STATUS[agent.status].shape)));
    c.save();
    c.translate(x, y);
    c.scale(r * 0.45, r * 0.45);
    c.fillStyle = color;
    c.fill(shape);
    c.restore();
  });
}
