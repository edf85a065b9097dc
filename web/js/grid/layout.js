/** Where everything is drawn, in pixels: buses and branches of the feeder, prosumers, links, and the ways energy takes. */

/** @typedef {import("../types.d.ts").Hello} Hello */
/** @typedef {{ x: number, y: number }} Point */

/**
 * A way with its length, to put dots on.
 * @typedef {object} Way
 * @property {Point[]} points
 * @property {number[]} at length up to each point
 * @property {number} length
 */

/**
 * @typedef {object} Layout
 * @property {number} width
 * @property {number} height
 * @property {number} radius of a prosumer
 * @property {boolean} dense whether labels have no room
 * @property {Point[]} buses
 * @property {Point[][]} branches
 * @property {(Point & { id: string, name: string })[]} agents
 * @property {Map<string, number>} indexOf of an agent by id
 * @property {Point} utility
 * @property {Map<string, Way>} links by `source>target`, both directions
 * @property {Way[]} feeds from each agent to the utility along the feeder
 */

const MARGIN = { left: 12, right: 12, top: 16, bottom: 4 };
export const ZOOM = { width: 112, height: 42 }; // px at the lower right, for the buttons
const HALO = 8; // px around a prosumer, for the ring of the selected one
const NAME = 20; // px above or below it, for its name
const LEAST_NAMED = 11; // px of radius, below which names have no room

/**
 * @param {Hello} hello with a community
 * @param {number} width
 * @param {number} height
 * @returns {Layout}
 */
export function layout(hello, width, height) {
  const margin = { ...MARGIN };
  const place = (/** @type {number} */ x, /** @type {number} */ y) => ({
    x: margin.left + x * (width - margin.left - margin.right), y: margin.top + y * (height - margin.top - margin.bottom),
  });
  const { buses: b, branches: m, slack } = /** @type {NonNullable<Hello["feeder"]>} */ (hello.feeder);
  const placed = () => {
    const agents = hello.agents.map(({ id, name, x, y }) => ({ id, name, ...place(x, y) }));
    return { agents, radius: Math.max(3, Math.min(27, nearest(agents) * 0.36, height * 0.085)) };
  };
  const first = placed();
  const room = first.radius + HALO;
  margin.right += Math.max(0, room - (width - first.agents.reduce((most, { x }) => Math.max(most, x), 0)));
  margin.top += Math.max(0, room + (first.radius < LEAST_NAMED ? 0 : NAME) - first.agents.reduce((least, { y }) => Math.min(least, y), height));
  const { agents: all, radius: size } = placed();
  if (all.some(({ x, y }) => x + size > width - ZOOM.width && y + size > height - ZOOM.height)) margin.bottom = ZOOM.height; // nobody stands under the buttons
  const { agents, radius } = placed();
  const buses = b.x.map((x, i) => place(x, b.y[i]));
  const branches = m.source.map((source, k) => elbow(buses[source], buses[m.target[k]]));
  const indexOf = new Map(agents.map(({ id }, i) => [id, i]));

  const fedBy = new Map(m.target.map((target, k) => [target, k]));
  const feeds = hello.agents.map(({ bus }, i) => {
    /** @type {Point[]} */
    const points = [agents[i]];
    points.push(buses[bus]);
    for (let at = bus, hops = 0; at !== slack && hops <= buses.length; hops += 1) {
      const k = fedBy.get(at);
      if (k === undefined) break;
      points.push(...branches[k].toReversed().slice(1));
      at = m.source[k];
    }
    return way(points);
  });

  const links = new Map();
  for (const { source, target } of hello.links) {
    const [i, j] = [indexOf.get(source), indexOf.get(target)];
    if (i === undefined || j === undefined) continue;
    const curve = arc(agents[i], agents[j]);
    links.set(`${source}>${target}`, way(curve));
    links.set(`${target}>${source}`, way(curve.toReversed()));
  }
  return { width, height, radius, dense: radius < LEAST_NAMED, buses, branches, agents, indexOf, utility: buses[slack], links, feeds };
}

/**
 * Down or up first, then along: the feeder reads as a diagram.
 * @param {Point} a
 * @param {Point} b
 * @returns {Point[]}
 */
function elbow(a, b) {
  return Math.abs(a.y - b.y) < 0.5 ? [a, b] : [a, { x: a.x, y: b.y }, b];
}

/**
 * A flat arc, bent upwards, so that links and the feeder stay apart.
 * @param {Point} a
 * @param {Point} b
 * @returns {Point[]}
 */
function arc(a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const sign = dx >= 0 ? 1 : -1;
  const control = { x: (a.x + b.x) / 2 + sign * dy * 0.16, y: (a.y + b.y) / 2 - sign * dx * 0.16 };
  const pieces = 18;
  return Array.from({ length: pieces + 1 }, (_, k) => {
    const t = k / pieces;
    const [u, v, w] = [(1 - t) ** 2, 2 * t * (1 - t), t * t];
    return { x: u * a.x + v * control.x + w * b.x, y: u * a.y + v * control.y + w * b.y };
  });
}

/**
 * @param {Point[]} points
 * @returns {Way}
 */
function way(points) {
  const at = [0];
  for (let k = 1; k < points.length; k += 1) {
    at.push(at[k - 1] + Math.hypot(points[k].x - points[k - 1].x, points[k].y - points[k - 1].y));
  }
  return { points, at, length: at[at.length - 1] };
}

/**
 * The point after a length of the way.
 * @param {Way} along
 * @param {number} length
 * @param {Point & { angle?: number }} out written to, as a frame has thousands
 */
export function pointAt({ points, at }, length, out) {
  let low = 1;
  let high = at.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at[middle] < length) low = middle + 1;
    else high = middle;
  }
  const [a, b] = [points[low - 1], points[low]];
  const span = at[low] - at[low - 1] || 1;
  const t = Math.min(1, Math.max(0, (length - at[low - 1]) / span));
  out.x = a.x + t * (b.x - a.x);
  out.y = a.y + t * (b.y - a.y);
  out.angle = Math.atan2(b.y - a.y, b.x - a.x);
  return out;
}

/**
 * The smallest distance between two of the points.
 * @param {Point[]} points
 */
function nearest(points) {
  if (points.length < 2) return 1000;
  const tree = d3.quadtree(points, (p) => p.x, (p) => p.y);
  let least = Infinity;
  for (const point of points) {
    tree.remove(point);
    const other = tree.find(point.x, point.y);
    if (other) least = Math.min(least, Math.hypot(other.x - point.x, other.y - point.y));
    tree.add(point);
  }
  return least;
}
