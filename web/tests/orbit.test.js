import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Orbit, position, viewOf, viewText } from "../js/views/scene3d/orbit.js";

const FIRST = { azimuth: 0.35, height: 0.62, distance: 56 };

/** A camera on a surface that the test moves the pointer over, and what it wrote. */
function camera() {
  /** @type {Record<string, (event: any) => void>} */
  const on = {};
  const surface = { addEventListener: (/** @type {string} */ name, /** @type {any} */ listen) => { on[name] = listen; }, setPointerCapture() {} };
  /** @type {(string | null)[]} */
  const written = [];
  const orbit = new Orbit(/** @type {any} */ (surface), FIRST, () => {}, (text) => written.push(text));
  const press = (/** @type {string} */ key) => on.keydown({ key, preventDefault() {} });
  return { orbit, on, written, press };
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("a view as a word of the URL, and back", () => {
  assert.equal(viewText({ azimuth: 0.35 + 4 * Math.PI, height: 0.62, distance: 56.04 }), "0.35_0.62_56");
  assert.deepEqual(viewOf("-1.5_0.5_30.5"), { azimuth: -1.5, height: 0.5, distance: 30.5 });
  assert.deepEqual(viewOf("0_9_9999"), { azimuth: 0, height: 1.5, distance: 160 });
  for (const nonsense of [undefined, "", "x", "1_2", "1_NaN_3"]) assert.equal(viewOf(nonsense), null);
  assert.ok(Math.abs(Math.hypot(...position({ azimuth: 1, height: 0.5, distance: 30 })) - 30) < 1e-9);
});

test("a gesture is written once, when it is over", () => {
  const { orbit, on, written } = camera();
  on.pointerdown({ pointerId: 1, clientX: 0, clientY: 0 });
  for (let x = 10; x <= 100; x += 10) on.pointermove({ pointerId: 1, clientX: x, clientY: 0 });
  mock.timers.tick(2000);
  assert.deepEqual(written, [], "the pointer is still down");
  on.pointerup({ pointerId: 1 });
  mock.timers.tick(300);
  assert.deepEqual(written, ["-0.25_0.62_56"]);
  mock.timers.tick(2000);
  orbit.reset();
  mock.timers.tick(300);
  assert.deepEqual(written, ["-0.25_0.62_56", null]);
});

test("a link's view is taken, nothing is written for it, and a view that was left writes nothing", () => {
  const { orbit, written, press } = camera();
  orbit.goTo("1_0.5_40");
  assert.deepEqual(orbit.view, { azimuth: 1, height: 0.5, distance: 40 });
  orbit.goTo(undefined);
  assert.deepEqual(orbit.view, FIRST);
  mock.timers.tick(1000);
  assert.deepEqual(written, []);
  press("ArrowLeft");
  orbit.stop();
  mock.timers.tick(1000);
  assert.deepEqual(written, []);
});
