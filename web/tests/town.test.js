import assert from "node:assert/strict";
import { test } from "node:test";
import { framed, position } from "../js/views/scene3d/orbit.js";
import { feed, ground, pointOn } from "../js/views/scene3d/town.js";

/** @typedef {[number, number, number]} Point */

/**
 * Where a camera sees a point, −1 … 1 from the left and from below; by the textbook, not by `framed`.
 * @param {Point} point
 * @param {Point} eye
 * @param {Point} target
 * @param {{fov: number, aspect: number}} lens
 */
function seen(point, eye, target, { fov, aspect }) {
  const minus = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.map((x, i) => x - b[i]);
  const cross = (/** @type {number[]} */ a, /** @type {number[]} */ b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (/** @type {number[]} */ a) => a.map((x) => x / Math.hypot(...a));
  const dot = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const forward = unit(minus(target, eye));
  const right = unit(cross(forward, [0, 1, 0]));
  const up = cross(right, forward);
  const from = minus(point, eye);
  const half = Math.tan((fov * Math.PI) / 360) * dot(from, forward);
  return [dot(from, right) / (half * aspect), dot(from, up) / half];
}

test("the camera has the whole town in its part of the picture, as near as that goes, in any format", () => {
  /** @type {Point[]} */
  const town = [[-30, 0, 0], [-30, 7, 0], [27, 0, -18], [27, 4, -18], [27, 0, 20], [5, 6, 21]];
  for (const [lens, direction] of /** @type {const} */ ([[{ fov: 52, aspect: 0.46 }, { azimuth: 1.5, height: 0.95 }], [{ fov: 42, aspect: 1.7 }, { azimuth: 0.35, height: 0.62 }]])) {
    const part = { left: -0.8, right: 0.8, top: 0.4, bottom: -0.85 };
    const { target, distance } = framed(town, direction, lens, part);
    assert.ok(Math.abs(target[1]) < 1e-9, "it circles a point of the ground");
    const eye = /** @type {Point} */ (position({ ...direction, distance }).map((x, i) => x + target[i]));
    const [xs, ys] = [0, 1].map((k) => town.map((point) => seen(point, eye, target, lens)[k]));
    assert.ok(Math.min(...xs) > part.left - 1e-9 && Math.max(...xs) < part.right + 1e-9, String(xs));
    assert.ok(Math.min(...ys) > part.bottom - 1e-9 && Math.max(...ys) < part.top + 1e-9, String(ys));
    const full = [(Math.max(...xs) - Math.min(...xs)) / 1.6, (Math.max(...ys) - Math.min(...ys)) / 1.25];
    assert.ok(Math.abs(Math.max(...full) - 1) < 1e-9, "no nearer place would do");
  }
});

test("what is traded with the utility runs over the cables: to the bus, along the branches, to the mast", () => {
  const feeder = /** @type {any} */ ({ slack: 0, buses: { x: [0, 0.5, 1], y: [0.5, 0.5, 0] }, branches: { source: [0, 1], target: [1, 2] } });
  const way = feed({ x: 1, y: 0.25, bus: 2 }, feeder, new Map([[1, 0], [2, 1]]));
  assert.deepEqual(way.points.map(([x, , z]) => [x, z]), [[1, 0.25], [1, 0], [0.5, 0.5], [0, 0.5]].map(([x, y]) => ground(x, y)));
  assert.deepEqual(pointOn(way, 0), way.points[0]);
  assert.deepEqual(pointOn(way, 1), way.points[3]);
  const part = way.at[2] / way.length;
  pointOn(way, part).forEach((x, i) => assert.ok(Math.abs(x - way.points[2][i]) < 1e-9));
  const at = feed({ x: 1, y: 0, bus: 2 }, feeder, new Map([[1, 0], [2, 1]])); // a house on its bus
  assert.deepEqual(pointOn(at, 0), at.points[0]);
});
