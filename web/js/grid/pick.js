/** What of the feeder lies under a place of the picture: geometry only. A box around each way spares most of the work. */

/** @typedef {import("./layout.js").Point} Point */
/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {{ kind: "bus" | "branch" | "link", index: number }} Found */
/** @typedef {{ kind: "branch" | "link", index: number, points: Point[], x0: number, y0: number, x1: number, y1: number }} Boxed */

const TIE = 0.75; // distances that differ by less are one: lines drawn upon each other

/**
 * Distance of a place from a piece of a line.
 * @param {number} x
 * @param {number} y
 * @param {Point} a
 * @param {Point} b
 */
export function distance(x, y, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy;
  const t = square ? Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / square)) : 0;
  return Math.hypot(x - a.x - t * dx, y - a.y - t * dy);
}

/**
 * Distance of a place from a line of several pieces.
 * @param {number} x
 * @param {number} y
 * @param {Point[]} points
 */
export function distanceTo(x, y, points) {
  let least = points.length === 1 ? Math.hypot(x - points[0].x, y - points[0].y) : Infinity;
  for (let k = 1; k < points.length; k += 1) least = Math.min(least, distance(x, y, points[k - 1], points[k]));
  return least;
}

export class Picker {
  /**
   * @param {Pick<Layout, "buses" | "branches" | "links">} place
   * @param {{ source: string, target: string }[]} links
   */
  constructor(place, links) {
    this.buses = place.buses;
    const lengths = place.branches.map((points) => Math.hypot(points[0].x - points[points.length - 1].x, points[0].y - points[points.length - 1].y));
    this.spacing = lengths.sort((a, b) => a - b)[lengths.length >> 1] ?? Infinity; // of the buses
    /** @type {Boxed[]} */
    this.ways = place.branches.map((points, index) => boxed("branch", index, points));
    links.forEach(({ source, target }, index) => {
      const along = place.links.get(`${source}>${target}`);
      if (along) this.ways.push(boxed("link", index, along.points));
    });
  }

  /**
   * The bus at a place, else the nearest branch, else the nearest link. Of branches drawn upon each other, as are those
   * that leave a bus together, the one that ends nearest.
   * @param {number} x
   * @param {number} y
   * @param {number} reach how far away a line may be; a bus a little farther, where buses are not that near to each other
   * @returns {Found | null}
   */
  find(x, y, reach) {
    let index = -1;
    let least = Math.min(reach * 1.25, Math.max(this.spacing * 0.3, reach * 0.25));
    this.buses.forEach((bus, i) => {
      const away = Math.hypot(x - bus.x, y - bus.y);
      if (away <= least) [index, least] = [i, away];
    });
    return index >= 0 ? { kind: "bus", index } : this.way(x, y, reach, "branch") ?? this.way(x, y, reach, "link");
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} reach
   * @param {"branch" | "link"} kind
   * @returns {Found | null}
   */
  way(x, y, reach, kind) {
    /** @type {Found | null} */
    let found = null;
    let [least, leastLeft] = [reach, Infinity];
    for (const one of this.ways) {
      if (one.kind !== kind || x < one.x0 - reach || x > one.x1 + reach || y < one.y0 - reach || y > one.y1 + reach) continue;
      const away = distanceTo(x, y, one.points);
      if (away > least + TIE || away > reach) continue;
      const end = one.points[one.points.length - 1];
      const left = Math.hypot(x - end.x, y - end.y);
      if (away > least - TIE && found && left >= leastLeft) continue;
      found = { kind, index: one.index };
      [least, leastLeft] = [Math.min(least, away), left];
    }
    return found;
  }
}

/**
 * @param {"branch" | "link"} kind
 * @param {number} index
 * @param {Point[]} points
 * @returns {Boxed}
 */
function boxed(kind, index, points) {
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  return { kind, index, points, x0: Math.min(...xs), y0: Math.min(...ys), x1: Math.max(...xs), y1: Math.max(...ys) };
}
