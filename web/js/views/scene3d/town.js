/**
 * The community as a town: where things stand, how high they are, which ways energy takes; pure functions.
 *
 * @typedef {[number, number, number]} Point
 * @typedef {{points: Point[], at: number[], length: number}} Way `at`: length up to each point
 */

export const SIZE = 60; // metres across, from the slack bus to the farthest

const CABLE = 0.35; // metres above the ground, where dots run along a cable

/**
 * A place of the wire (0 … 1, from the left, from the top) on the ground.
 * @param {number} x
 * @param {number} y
 * @param {number} [size]
 * @returns {[number, number]}
 */
export const ground = (x, y, size = SIZE) => [(x - 0.5) * size, (y - 0.5) * size * 0.72];

/** @type {Record<string, {width: number, depth: number, height: number, roof: "gable"|"flat"}>} */
const SHAPES = {
  residential: { width: 2.6, depth: 2.4, height: 1.9, roof: "gable" },
  suburban: { width: 3.2, depth: 2.8, height: 1.8, roof: "gable" },
  commercial: { width: 3.4, depth: 3.2, height: 2.4, roof: "flat" },
  industrial: { width: 4.6, depth: 3.4, height: 2.2, roof: "flat" },
  mixed: { width: 2.8, depth: 2.8, height: 4.4, roof: "flat" },
};

/**
 * What stands for a prosumer; smaller where there are many.
 * @param {string} archetype
 * @param {number} count prosumers in all
 */
export function building(archetype, count) {
  const shape = SHAPES[archetype] ?? SHAPES.residential;
  const scale = count <= 8 ? 1.25 : Math.max(0.28, Math.sqrt(12 / count));
  return { ...shape, width: shape.width * scale, depth: shape.depth * scale, height: shape.height * scale, scale };
}

/**
 * Part of a particle's way after a time: the more power, the faster, and several on one way evenly apart.
 * @param {number} seconds
 * @param {number} power kW
 * @param {number} k which of them
 * @param {number} count how many
 */
export function along(seconds, power, k, count) {
  const speed = 0.12 + 0.1 * Math.sqrt(Math.min(power, 20));
  return (((seconds * speed + k / count) % 1) + 1) % 1;
}

/**
 * Particles a flow has.
 * @param {number} power kW
 */
export const particles = (power) => Math.min(8, Math.max(2, Math.round(2 + power)));

/**
 * The way from a prosumer over its cable and along the feeder to the utility.
 * @param {{x: number, y: number, bus: number}} agent
 * @param {NonNullable<import("../../types.d.ts").Hello["feeder"]>} feeder
 * @param {Map<number, number>} fedBy bus → branch that feeds it
 * @returns {Way}
 */
export function feed(agent, { buses, branches, slack }, fedBy) {
  const place = (/** @type {number} */ x, /** @type {number} */ y) => {
    const [a, b] = ground(x, y);
    return /** @type {Point} */ ([a, CABLE, b]);
  };
  const points = [place(agent.x, agent.y)];
  for (let bus = agent.bus, hops = 0; hops <= buses.x.length; hops += 1) {
    points.push(place(buses.x[bus], buses.y[bus]));
    const branch = fedBy.get(bus);
    if (bus === slack || branch === undefined) break;
    bus = branches.source[branch];
  }
  const at = [0];
  for (let k = 1; k < points.length; k += 1) at.push(at[k - 1] + Math.hypot(points[k][0] - points[k - 1][0], points[k][2] - points[k - 1][2]));
  return { points, at, length: at[at.length - 1] };
}

/**
 * A point of a way.
 * @param {Way} way
 * @param {number} part 0 … 1
 * @returns {Point}
 */
export function pointOn({ points, at, length }, part) {
  const far = part * length;
  const k = Math.max(1, at.findIndex((x) => x >= far));
  const span = at[k] - at[k - 1];
  const t = span > 0 ? (far - at[k - 1]) / span : 0;
  return /** @type {Point} */ (points[k].map((x, i) => points[k - 1][i] + t * (x - points[k - 1][i])));
}

/**
 * A point of an arch between two places.
 * @param {Point} from
 * @param {Point} to
 * @param {number} part 0 … 1
 * @returns {Point}
 */
export function arch(from, to, part) {
  const length = Math.hypot(to[0] - from[0], to[2] - from[2]);
  const lift = 4 * part * (1 - part) * Math.min(7, length * 0.22);
  return [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part + lift, from[2] + (to[2] - from[2]) * part];
}
