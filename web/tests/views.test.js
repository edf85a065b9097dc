import assert from "node:assert/strict";
import { test } from "node:test";
import { fixed, KPIS } from "../js/views/comparison/kpis.js";
import { against, aligned, cumulative, days, matrix, sorted, wheel } from "../js/views/comparison/shape.js";
import { bare, difference, parseRange, placed, rangeText, set } from "../js/views/editor/draft.js";
import { behind, holding, marks, neighbour } from "../js/views/playback/events.js";
import { extended, parseMetrics, reduced, since } from "../js/views/playback/overview.js";
import { FramePages } from "../js/views/playback/pages.js";
import { kindOf, valueOf } from "../js/views/kit/schema.js";
import { along, arch, particles } from "../js/views/scene3d/town.js";
import { baselineLevels } from "../js/views/training/baselines.js";
import { append, best, column, eta, smooth, thinned } from "../js/views/training/columns.js";

/** @param {string} kind @param {number} frame @param {number|null} until */
const event = (kind, frame, until) => ({ kind, frame, until, step: frame + 1, sim_time: "", detail: "" });

test("the next event is the nearest that begins ahead, whatever the order of the list", () => {
  const events = [event("outage", 50, 60), event("overload", 10, 12), event("outage", 30, null)];
  assert.equal(neighbour(events, 10, 1)?.frame, 30);
  assert.equal(neighbour(events, 31, -1)?.frame, 30);
  assert.equal(neighbour(events, 50, 1), null);
  assert.equal(neighbour(events, 10, -1), null);
  assert.deepEqual(holding(events, 55).map((e) => e.frame), [50, 30]); // the one without an end lasts
});

test("marks of one kind that are too near to tell apart are drawn as one", () => {
  const found = marks([event("outage", 5, 8), event("outage", 0, 3), event("overload", 1, 2), event("outage", 50, null)], "outage", 100, 3);
  assert.deepEqual(found.map(({ from, to, count }) => [from, to, count]), [[0, 8, 2], [50, 100, 1]]);
});

test("a viewer is behind by the steps taken since, never ahead", () => {
  assert.equal(behind({ step: 5 }, { step: 12 }), 7);
  assert.equal(behind({ step: 12 }, { step: 5 }), 0);
  assert.equal(behind(null, { step: 5 }), 0);
});

test("pages of frames are fetched once, in as many answers as it takes, from where the recording begins", async () => {
  /** @type {[number, number][]} */
  const asked = [];
  const pages = new FramePages(async (first, limit) => {
    asked.push([first, limit]);
    const count = Math.min(limit, 4); // large frames come fewer at a time
    return { first, next: first + count, frames: Array.from({ length: count }, (_, k) => ({ n: first + k })) };
  }, 3, 20, 10);
  assert.equal(pages.clamp(-5), 3);
  assert.equal(pages.clamp(99), 22);
  const [a, b] = await Promise.all([pages.get(5), pages.get(4)]);
  assert.deepEqual([a, b], [{ n: 5 }, { n: 4 }]);
  assert.deepEqual(asked[0], [3, 7]);
  assert.deepEqual(await pages.get(22), { n: 22 });
  assert.equal(asked.filter(([first]) => first === 3).length, 1);
});

test("the overview keeps the peaks", () => {
  const { stability, demand } = parseMetrics("frame,stability,total_generation_kw,total_demand_kw\n0,0.9,1.5,2\n1,0.8,0,3\n");
  assert.deepEqual([stability, demand], [[0.9, 0.8], [2, 3]]);
  assert.deepEqual(reduced([1, 9, 2, 3, 4], 2, (v) => Math.max(...v)), [9, 4]);
});

test("the overview grows behind and is cut in front", () => {
  const rows = (/** @type {number[]} */ frames) => parseMetrics(`frame,stability,total_generation_kw,total_demand_kw\n${frames.map((k) => `${k},0.${k},1,2\n`).join("")}`);
  const whole = extended(rows([1, 2, 3]), rows([4]));
  assert.deepEqual(whole, rows([1, 2, 3, 4]));
  assert.deepEqual(since(whole, 3), rows([3, 4]));
  assert.deepEqual(since(whole, 1), whole);
  assert.deepEqual(since(whole, 9), rows([]));
});

test("rows without a value come last whichever way one sorts, ties keep their order", () => {
  const rows = [{ n: "a", x: 1 }, { n: "b", x: null }, { n: "c", x: 3 }, { n: "d", x: 1 }];
  const order = (/** @type {"ascending"|"descending"} */ direction) => sorted(rows, (row) => row.x, direction).map((row) => row.n).join("");
  assert.equal(order("ascending"), "adcb");
  assert.equal(order("descending"), "cadb");
  assert.equal(sorted(rows, (row) => row.n, "descending")[0].n, "d");
});

/** @param {string} name @param {number|null} score */
const row = (name, score, kpis = {}) => ({ name, kind: "rule", score, score_ci: null, cost_eur: 1, kpis });
/** @type {any} */
const SCENARIOS = [
  { scenario: "a", scoreboard: { rows: [row("x", 0.5), row("y", 1)] }, skipped: [] },
  { scenario: "b", scoreboard: { rows: [row("x", 0.2)] }, skipped: [{ policy: "y", reason: "5 prosumers, not 7" }] },
];

test("the matrix has a cell for every pair, and says why one is empty", () => {
  const cells = matrix(SCENARIOS, ["y", "x"]);
  assert.deepEqual(cells.map((line) => line.map((cell) => cell.row?.score ?? cell.reason)), [[1, "5 prosumers, not 7"], [0.5, 0.2]]);
});

test("a pair is read from either side", () => {
  /** @type {any[]} */
  const pairs = [{ a: "x", b: "y", episodes: 4, cost_difference_eur: 3, cost_ci: [1, 5], score_difference: -0.1, score_ci: [-0.2, -0.05], p_holm: 0.01, better: "y" }];
  assert.deepEqual([against(pairs, "x", "y")?.verdict, against(pairs, "x", "y")?.cost], ["worse", 3]);
  const other = against(pairs, "y", "x");
  assert.deepEqual([other?.verdict, other?.cost, other?.costCi, other?.scoreCi], ["better", -3, [-5, -1], [0.05, 0.2]]);
  assert.equal(against(pairs, "x", "z"), null);
});

test("series share one axis of UTC seconds; shorter ones end in gaps", () => {
  const series = { start: "2016-02-22T00:00:00", step_minutes: 15, policies: { x: { p: [1, 2, 3] }, y: { p: [4] } } };
  const [times, x, y] = aligned(series, "p", ["x", "y"]);
  assert.deepEqual(times.map((t) => new Date(t * 1000).toISOString().slice(11, 16)), ["00:00", "00:15", "00:30"]);
  assert.deepEqual([x, y], [[1, 2, 3], [4, null, null]]);
  assert.deepEqual(cumulative([1, 2, null, 4]), [1, 3, null, 7]);
});

test("the wheel's rim is the best of the compared, whichever way is good", () => {
  const axes = [{ key: "s", good: /** @type {const} */ ("high"), value: (/** @type {any} */ r) => r.score }, { key: "p", good: /** @type {const} */ ("low"), value: (/** @type {any} */ r) => r.kpis.p }];
  const turned = wheel([row("x", 0, { p: 10 }), row("y", 1, { p: 30 }), row("z", null, { p: 20 })], axes);
  assert.deepEqual(turned.map((t) => t.values), [[0, 1], [1, 0], [null, 0.5]]);
});

test("days add up their prosumers", () => {
  const daily = [0, 0, 1].map((day, k) => ({ policy: "x", day, agent: `agent_${k}`, name: "n", demand_kwh: k + 1 }));
  assert.deepEqual(days([...daily, { policy: "y", day: 0, demand_kwh: 9 }], "x").map((d) => [d.day, d.total.demand_kwh, d.agents.length]), [[0, 3, 2], [1, 3, 1]]);
});

test("numbers: a minus of its own, no −0.00, thousands apart, n/a for what is missing", () => {
  assert.deepEqual([fixed(-1.234, 2), fixed(-0.0001, 2), fixed(12345.6, 0), fixed(null, 1), fixed(NaN, 1)], ["−1.23", "0.00", "12,346", "n/a", "n/a"]);
  assert.equal(new Set(KPIS.map((kpi) => kpi.key)).size, KPIS.length);
});

test("metrics: what a restart repeats is forgotten, so is everything when the run begins anew", () => {
  const rows = [1, 2, 3].map((iteration) => ({ iteration }));
  assert.deepEqual(append(rows, [{ iteration: 4 }], false).map((r) => r.iteration), [1, 2, 3, 4]);
  assert.deepEqual(append(rows, [{ iteration: 2, again: true }], false).map((r) => r.iteration), [1, 2]);
  assert.deepEqual(append(rows, [{ iteration: 1 }], true).length, 1);
});

test("a column is one prosumer's, or the mean; gaps stay gaps", () => {
  const rows = [{ r: [1, 3], s: 5 }, { r: [2, 4] }, {}];
  assert.deepEqual(column(rows, "r", 1), [3, 4, null]);
  assert.deepEqual(column(rows, "r"), [2, 3, null]);
  assert.deepEqual(column(rows, "s"), [5, null, null]);
  assert.deepEqual(smooth([1, null, 3], 3), [1, null, 3]);
  assert.deepEqual(smooth([0, 3, 6], 3), [1.5, 3, 4.5]);
});

test("what still has to be done: by iterations or by time, whichever ends first", () => {
  const rows = [{ iteration: 10, seconds: 20 }, { iteration: 20, seconds: 40 }];
  assert.equal(eta(rows, 100, null), 160);
  assert.equal(eta(rows, 100, 1), 20);
  assert.equal(eta(rows, null, null), null);
  assert.equal(eta([], 100, null), null);
  assert.deepEqual(best([{ iteration: 1, validation_score: 0.2 }, { iteration: 2 }, { iteration: 3, validation_score: 0.1 }]), { iteration: 1, score: 0.2 });
  const many = Array.from({ length: 100 }, (_, k) => ({ iteration: k, validation_score: k === 33 ? 0.5 : null }));
  assert.ok(thinned(many, 10).length <= 12 && thinned(many, 10).some((r) => r.iteration === 33) && thinned(many, 10).at(-1)?.iteration === 99);
});

test("a learner is measured against planning with the forecast it has itself, not against the future", () => {
  const mpc = [["persistence", 0.816], ["noisy", 0.925], ["perfect", 0.958]].map(([kind, score]) => ({ name: `mpc-${kind}`, kind: "mpc", forecast: kind === "noisy" ? "noisy 20 %" : String(kind), score: Number(score) }));
  const rules = [{ name: "a", kind: "rule", forecast: null, score: 0.2 }, { name: "b", kind: "rule", forecast: null, score: 0.7 }, { name: "c", kind: "rule", forecast: null, score: null }];
  const learner = (/** @type {string|null} */ forecast) => ({ name: "ippo", kind: "policy", forecast, score: 0.8 });
  const labels = (/** @type {any[]} */ rows) => baselineLevels({ rows }).map((level) => level.label);
  assert.deepEqual(labels([...rules, ...mpc, learner("noisy 20 %"), { name: "optimum", kind: "optimum", forecast: "the truth", score: 1 }]), ["b 0.700", "mpc-noisy 0.925, same forecast (noisy 20 %)", "optimum 1.000"]);
  assert.deepEqual(labels([...mpc, learner("perfect")]), ["mpc-perfect 0.958, same forecast (perfect)"]);
  assert.deepEqual(labels([...mpc, learner(null)]), ["mpc-persistence 0.816"]);
  assert.deepEqual(labels([mpc[2], learner("noisy 20 %")]), ["mpc-perfect 0.958, knows the future"]);
  assert.deepEqual(labels([learner("perfect")]), []);
  assert.deepEqual(baselineLevels(null), []);
});

test("what a form sends is what differs from its base, without what TOML cannot say", () => {
  const base = { a: 1, t: { x: 1, y: [1, 2], z: null }, list: [{ n: 1, none: null }] };
  assert.deepEqual(difference(structuredClone(base), base), {});
  assert.deepEqual(difference(set(base, "t.x", 5), base), { t: { x: 5 } });
  assert.deepEqual(difference(set(base, "list.0.n", 2), base), { list: [{ n: 2 }] });
  assert.deepEqual(set({}, "t.u", 1), { t: { u: 1 } });
  assert.deepEqual(bare({ a: null, b: [{ c: undefined, d: 0 }] }), { b: [{ d: 0 }] });
});

test("a number or a range; other text goes to the server, which says what is wrong with it", () => {
  assert.deepEqual([parseRange("5"), parseRange(" 4 – 8 "), parseRange("4-8"), parseRange("-3"), parseRange("2,5"), parseRange(""), parseRange("x")], [5, [4, 8], [4, 8], -3, 2.5, null, "x"]);
  assert.deepEqual([rangeText([4, 4]), rangeText([4, 8]), rangeText(null), rangeText(0)], ["4", "4 – 8", "", "0"]);
});

test("a fault stands at the field it names, else at the nearest above", () => {
  const fields = new Set(["prosumers", "prosumers.0.solar.capacity_kwp", "tariff", "tariff.export_eur_per_kwh"]);
  const found = placed([
    { field: "prosumers.0.solar", message: "prosumers.0.solar: capacity_kwp = -3 is outside [0.0, 1000000.0]" },
    { field: "prosumers", message: "prosumers: Tuple should have at least 1 item after validation, not 0" },
    { field: "tariff", message: "tariff: export_eur_per_kwh = 9 exceeds import_eur_per_kwh" },
    { field: "tariff.level.0", message: "tariff.level.0 = 'a': Input should be a number" }, { field: "base", message: "base = 'q': expected one of a, b" },
  ], fields);
  assert.deepEqual([...found.keys()], ["prosumers.0.solar.capacity_kwp", "tariff.export_eur_per_kwh", "tariff", ""]);
  assert.deepEqual(found.get("tariff"), ["Input should be a number"]);
});

test("inputs from a JSON Schema", () => {
  assert.deepEqual([kindOf({ type: "integer" }), kindOf({ anyOf: [{ type: "number" }, { type: "null" }] }), kindOf({ enum: ["a"] }), kindOf({ $ref: "#" })], ["integer", "number", "choice", null]);
  assert.deepEqual([valueOf("64, 32", "list"), valueOf("", "number"), valueOf("false", "boolean"), valueOf("x", "integer")], [[64, 32], undefined, false, "x"]);
});

test("particles move from source to target over an arch", () => {
  assert.deepEqual(arch([0, 1, 0], [10, 1, 0], 0), [0, 1, 0]);
  assert.ok(arch([0, 1, 0], [10, 1, 0], 0.5)[1] > 2);
  assert.ok(along(0, 1, 0, 4) === 0 && along(0, 1, 1, 4) === 0.25 && along(1, 9, 0, 1) > along(1, 1, 0, 1));
  assert.ok(particles(0.02) >= 2 && particles(100) <= 8);
});
