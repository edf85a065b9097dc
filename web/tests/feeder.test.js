import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../js/format.js";
import { feederTip, flowsOf, inBand, linkFlow, switched } from "../js/grid/feedertips.js";
import { distance, distanceTo, Picker } from "../js/grid/pick.js";
import { zoomOf, zoomText } from "../js/grid/zoomlink.js";

const N = "\u202f";

/**
 * A bus with two branches that go down together, then right at different heights; a link as an arc far from them.
 *   0 ── (0, 100) ── 1
 *   └─── (0, 200) ── 2 ── 3
 */
const BUSES = [{ x: 0, y: 0 }, { x: 100, y: 100 }, { x: 100, y: 200 }, { x: 300, y: 200 }];
const BRANCHES = [[BUSES[0], { x: 0, y: 100 }, BUSES[1]], [BUSES[0], { x: 0, y: 200 }, BUSES[2]], [BUSES[2], BUSES[3]]];
const ARC = [{ x: 100, y: 0 }, { x: 200, y: 40 }, { x: 300, y: 0 }];
/** @type {any} */
const PLACE = { buses: BUSES, branches: BRANCHES, links: new Map([["a>b", { points: ARC }], ["b>a", { points: ARC.toReversed() }]]) };
const picker = () => new Picker(PLACE, [{ source: "c", target: "a" }, { source: "a", target: "b" }]);

test("the distance from a line is that from its nearest place, its ends included", () => {
  const [a, b] = [{ x: 0, y: 0 }, { x: 10, y: 0 }];
  assert.equal(distance(5, 3, a, b), 3);
  assert.equal(distance(13, 4, a, b), 5);
  assert.equal(distance(-3, -4, a, b), 5);
  assert.equal(distance(3, 4, a, a), 5);
  assert.equal(distanceTo(10, 5, [a, b, { x: 10, y: 20 }]), 0);
  assert.equal(distanceTo(3, 4, [a]), 5);
});

test("what lies under the pointer: a bus before a branch before a link, nothing where nothing is near", () => {
  assert.deepEqual(picker().find(101, 99, 6), { kind: "bus", index: 1 });
  assert.deepEqual(picker().find(50, 103, 6), { kind: "branch", index: 0 });
  assert.deepEqual(picker().find(200, 196, 6), { kind: "branch", index: 2 });
  assert.deepEqual(picker().find(200, 42, 6), { kind: "link", index: 1 }); // the one before it is not drawn
  assert.equal(picker().find(200, 100, 6), null);
  assert.equal(picker().find(50, 107, 6), null);
  assert.deepEqual(picker().find(50, 107, 8), { kind: "branch", index: 0 });
});

test("of branches drawn upon each other it is the one that ends nearest", () => {
  assert.deepEqual(picker().find(0, 50, 6), { kind: "branch", index: 0 });
  assert.deepEqual(picker().find(1, 150, 6), { kind: "branch", index: 1 });
  assert.deepEqual(new Picker({ ...PLACE, branches: BRANCHES.toReversed() }, []).find(0, 50, 6), { kind: "branch", index: 2 });
});

test("buses nearer to each other than a pointer is wide leave room for the branch between them", () => {
  const buses = [{ x: 0, y: 0 }, { x: 10, y: 0 }];
  const dense = new Picker({ buses, branches: [buses], links: new Map() }, []);
  assert.deepEqual(dense.find(5, 0, 6), { kind: "branch", index: 0 });
  assert.deepEqual(dense.find(9, 0, 6), { kind: "bus", index: 1 });
});

/** @type {any} */
const HELLO = {
  agents: [{ id: "a", name: "Ada", bus: 1 }, { id: "b", name: "Bob", bus: 1 }], links: [{ source: "a", target: "b", rating_kw: 5 }],
  feeder: {
    slack: 0, transformer: 0, voltage_band_pu: [0.9, 1.1], buses: { name: ["mv", "end"], vn_kv: [20, 0.4] },
    branches: { name: ["trafo", "cable"], source: [0, 0], target: [1, 1], kind: ["transformer", "line"], rating_kva: [250, null] },
  },
};
/** @type {any} */
const FRAME = { islanded: false, buses: { voltage_pu: [1, 0.8995] }, branches: { loading: [0.5, 0], open: [] }, energy_flows: [{ source: "b", target: "a", power_kw: 1.25 }, { source: "grid", target: "b", power_kw: 3 }] };

/** @param {any} found @param {any} [frame] */
const rows = (found, frame = FRAME) => Object.fromEntries(feederTip(found, HELLO, frame, format).rows ?? []);

test("tips of branches, buses and links", () => {
  assert.equal(feederTip({ kind: "branch", index: 0 }, HELLO, FRAME, format).what, "transformer from mv to end");
  assert.deepEqual(rows({ kind: "branch", index: 0 }), { Loading: `50.0${N}%`, Rating: `250${N}kVA`, "Carries, at nominal voltage": `125.0${N}kVA` });
  assert.deepEqual(rows({ kind: "branch", index: 1 }), { Loading: "–", Rating: "unlimited", "Carries, at nominal voltage": "–" });
  const bus = rows({ kind: "bus", index: 1 });
  assert.deepEqual([bus.Voltage, bus["That is"], bus["It is"], bus.Prosumers], [`0.900${N}p.u.`, `0.360${N}kV`, "too low", "Ada, Bob"]);
  assert.deepEqual(rows({ kind: "link", index: 0 }), { Now: `1.25${N}kW to Ada`, "Largest transfer": `5.00${N}kW` });
  assert.equal(rows({ kind: "link", index: 0 }, null).Now, "–");
  assert.equal(linkFlow(0, HELLO, flowsOf({ ...FRAME, energy_flows: [] }), format), "nothing");
});

test("a branch is open, or cut off with the utility; voltages are within, too low, too high, or gone", () => {
  assert.equal(switched(1, HELLO, { ...FRAME, branches: { loading: [0, 0], open: [1] } }), "open");
  assert.equal(switched(0, HELLO, { ...FRAME, islanded: true }), "cut off");
  assert.equal(switched(1, HELLO, { ...FRAME, islanded: true }), "closed");
  assert.deepEqual([0.9, 0.8999, 1.1000001, 1.11, 0].map((v) => inBand(v, [0.9, 1.1])), ["within", "too low", "within", "too high", "no supply"]);
});

test("the part of the grid in sight as a word of the URL, and back on a picture of any size", () => {
  assert.equal(zoomText({ x: 0, y: 0, k: 1 }, 800, 400), null);
  assert.deepEqual(zoomOf(undefined, 800, 400), { x: 0, y: 0, k: 1 });
  const text = zoomText({ x: -321.4, y: -55, k: 2.5 }, 800, 400);
  assert.equal(text, "2.5_0.361_0.255");
  for (const [width, height] of [[800, 400], [390, 431], [1234.5, 678]]) assert.equal(zoomText(zoomOf(text ?? "", width, height), width, height), text);
  assert.deepEqual(zoomOf("2_0.5_0.5", 100, 100), { x: -50, y: -50, k: 2 });
  for (const nonsense of ["", "x", "2", "1_2", "NaN_0_0"]) assert.deepEqual(zoomOf(nonsense, 100, 100), { x: 0, y: 0, k: 1 });
  assert.equal(zoomText(zoomOf("99_7_-7", 100, 100), 100, 100), "12_1.3_-0.3");
});
