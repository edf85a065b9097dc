/** Dots that move along the ways of a frame's flows. */
import { palette } from "../status.js";
import { pointAt } from "./layout.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("./layout.js").Way} Way */
/** @typedef {import("../types.d.ts").Frame} Frame */

const FULL_KW = 5; // a flow of this power has the largest dots
const MOST_DOTS = 1500;
const SMALL = 1.3; // px, below which nobody tells a circle from a square, which is cheaper

/** Their number, size and speed grow with the power. */
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
        if (seconds > 0 && size < SMALL) {
          c.rect(out.x - size, out.y - size, 2 * size, 2 * size);
        } else if (seconds > 0) {
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
