import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "../js/format.js";
import { briefs, crosses, shortened, spots } from "../js/grid/labels.js";
import { beforeMetrics, extend, joined, samplesOf } from "../js/history.js";
import { KPIS } from "../js/views/comparison/kpis.js";
import { spared } from "../js/views/comparison/shape.js";
import { sentence, telling } from "../js/views/playback/events.js";

test("an event is told with how long it lasted", () => {
  const event = { kind: "outage", frame: 10, until: /** @type {number|null} */ (22), step: 11, sim_time: "", detail: "Islanded: the utility was cut off" };
  assert.equal(sentence(event, { count }), "Islanded: the utility was cut off (12 steps)");
  assert.equal(sentence({ ...event, until: 11 }, { count }), "Islanded: the utility was cut off (1 step)");
  assert.equal(sentence({ ...event, until: null }, { count }), "Islanded: the utility was cut off (to the end)");
  const done = { ...event, kind: "perturbation" };
  assert.deepEqual(telling([event, done, { ...done, until: 30 }]), [event, { ...done, until: 30 }]); // its cause adds nothing
});

test("a column that is 0 for all is spared only where a sentence can say it", () => {
  const row = (/** @type {number} */ unserved, /** @type {number|null} */ overload) => /** @type {any} */ ({ name: "x", score: 0, cost_eur: 0, kpis: { unserved_kwh: unserved, overload_h: overload, voltage_violation_h: 0, losses_kwh: 0 } });
  const keys = (/** @type {any[]} */ rows) => spared(rows, KPIS).map((kpi) => kpi.key);
  assert.deepEqual(keys([row(0, 0), row(0.001, null)]), ["voltage_violation_h", "overload_h", "unserved_kwh"]); // 0.001 reads 0.00
  assert.deepEqual(keys([row(0, 0), row(0.006, 0)]), ["voltage_violation_h", "overload_h"]);
});

/** @param {number} x @param {number} y @param {string} name */
const agent = (x, y, name) => ({ id: name, name, x, y });
/** @param {...[number, number]} points @returns {any} */
const way = (...points) => ({ points: points.map(([x, y]) => ({ x, y })) });

test("a name stands where no cable and no link runs, and within the picture", () => {
  const below = way([300, 100], [300, 140], [0, 140]);
  const place = /** @type {any} */ ({
    width: 800, height: 400, radius: 20, agents: [agent(300, 100, "home")], branches: [], feeds: [below], links: new Map(),
  });
  const label = (/** @type {any} */ { x, y, anchor }) => ({ x, y, anchor });
  assert.deepEqual(spots(place), [{ x: 0, y: -31, anchor: "middle", text: "home", power: "unit", crowded: false }]); // the cable goes down, the name above
  const above = { ...place, feeds: [way([300, 100], [300, 60])] };
  assert.equal(spots(above)[0].y, 38);
  const [edge] = spots({ ...place, agents: [agent(790, 100, "workshop")], feeds: [way([790, 100], [790, 140])] });
  assert.ok(790 + edge.x + (17 * 6.7) / 2 <= 796 + 1e-9, "at the edge it moves inwards");
  const [first, second] = spots({ ...place, agents: [agent(300, 100, "home"), agent(300, 45, "flat")], feeds: [way([300, 100], [300, 140]), way([300, 45], [300, 100])] });
  assert.notDeepEqual(label(first), { x: 0, y: -31, anchor: "middle" }); // there the other prosumer stands
  assert.deepEqual(label(second), { x: 0, y: -31, anchor: "middle" });
  assert.equal(shortened("a name of far too many letters"), "a name of far t…");
});

test("names that have no room beside each other are shorter, and one without any is left out", () => {
  const row = (/** @type {number} */ apart, /** @type {number} */ count, name = (/** @type {number} */ k) => `connection ${k + 1}`) => /** @type {any} */ ({
    width: 800, height: 100, radius: 15, branches: [], feeds: [], links: new Map(),
    agents: Array.from({ length: count }, (_, k) => agent(70 + apart * k, 50, name(k))),
  });
  const said = (/** @type {any} */ place) => spots(place).map(({ text, power, crowded }) => (crowded ? null : `${text} ${power}`));
  assert.deepEqual(said(row(160, 3)), ["connection 1 unit", "connection 2 unit", "connection 3 unit"]);
  assert.deepEqual(said(row(60, 8)), Array.from({ length: 8 }, (_, k) => `${k + 1} unit`));
  assert.ok(said(row(31, 12, (k) => `${k} of a kind`)).some((one) => one === null));
  assert.deepEqual(briefs(["home", "shop"]), ["home", "shop"]);
  assert.deepEqual(briefs(["row house 1", "row house 12"]), ["1", "12"]);
});

test("a large community's charts begin with its metrics, back to the beginning of the episode", () => {
  const day = (/** @type {number} */ hour, day = 2) => `2025-06-0${day}T${String(hour).padStart(2, "0")}:00:00`;
  const rows = [[1, day(22, 9)], [2, day(23, 9)], [3, day(0)], [4, day(1)], [5, day(2)]].map(([step, time], k) => `${k},${time},${step},0.5,True`);
  const samples = samplesOf(`frame,sim_time,step,stability,converged\n${rows.join("\n")}\n`);
  assert.equal(samples[0].metrics.converged, true);
  const now = /** @type {any} */ ({ step: 5, episode: 2, time: Date.parse(`${day(2)}Z`) / 1000, metrics: samples[4].metrics });
  const found = beforeMetrics(samples, [now]);
  assert.deepEqual(found.map(({ step, episode }) => [step, episode]), [[3, 2], [4, 2], [5, 2]]);
  assert.deepEqual(beforeMetrics(samples, []), []);
});

test("a gap in the charts is filled, or what lies before it is let go", () => {
  const samples = (/** @type {number[]} */ ...steps) => steps.map((step) => /** @type {any} */ ({ step }));
  const steps = (/** @type {readonly any[]} */ history) => history.map(({ step }) => step);
  assert.deepEqual(steps(joined(samples(1, 2, 3), samples(4, 5, 6))), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(steps(joined(samples(1, 2, 3), samples(2, 3, 4, 5))), [1, 2, 3, 4, 5]);
  assert.deepEqual(steps(joined(samples(1, 2, 3), samples(5, 6))), [5, 6]);
  assert.deepEqual(steps(joined([], samples(5, 6))), [5, 6]);
});

test("a frame that comes twice is one sample", () => {
  const frame = (/** @type {number} */ step, episode = 0) => /** @type {any} */ ({ step, episode, sim_time: "2025-06-02T00:00:00", metrics: {} });
  const steps = (/** @type {any[]} */ ...frames) => frames.reduce(extend, []).map((/** @type {any} */ { step }) => step);
  assert.deepEqual(steps(frame(1), frame(2), frame(2), frame(3)), [1, 2, 3]);
  assert.deepEqual(steps(frame(1), frame(2), frame(1)), [1]);
  assert.deepEqual(steps(frame(1), frame(2), frame(3, 1)), [3]);
});

test("a line crosses a box or passes it", () => {
  const box = { left: 0, right: 10, top: 0, bottom: 10 };
  const at = (/** @type {number} */ x, /** @type {number} */ y) => ({ x, y });
  assert.ok(crosses(at(-5, 5), at(15, 5), box) && crosses(at(5, -5), at(5, 15), box) && crosses(at(2, 2), at(3, 3), box) && crosses(at(-1, 5), at(6, 12), box));
  assert.ok(!crosses(at(-5, 11), at(15, 11), box) && !crosses(at(-5, 5), at(-1, 5), box) && !crosses(at(8, -4), at(16, 4), box));
});
