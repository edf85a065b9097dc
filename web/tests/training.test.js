import assert from "node:assert/strict";
import { test } from "node:test";
import { referenceRun, validationLevels } from "../js/views/training/baselines.js";
import { weightedName } from "../js/views/training/columns.js";

const WEIGHTS = { stability: 0.1, efficiency: 0.1, cost: 0.5, cooperation: 0.1 };
/** @param {string} name @param {string|null} scenario @param {boolean} evaluated */
const run = (name, scenario, evaluated = false) => ({ name, scenario, evaluated });

test("a run is compared with its own scoreboard, else with the newest of its scenario, whatever the weights", () => {
  const runs = [run("new", "a"), run("done", "a", true), run("old", "a", true), run("weighted", weightedName("a", WEIGHTS)), run("other", "b"), run("bare", null)];
  /** @param {string} name @param {Record<string, number>} [rewards] */
  const found = (name, rewards) => referenceRun(runs, name, rewards)?.name;
  assert.equal(found("old"), "old");
  assert.equal(found("new"), "done");
  assert.equal(found("weighted", WEIGHTS), "done");
  assert.equal(found("weighted", { ...WEIGHTS, cost: 0.6 }), undefined);
  assert.equal(found("weighted"), undefined); // its configuration is not here yet
  assert.equal(found("other"), undefined);
  assert.equal(found("bare"), undefined);
  assert.equal(found("gone"), undefined);
});

test("before there is a scoreboard, the best rule of the newest validation is what there is", () => {
  const rows = [{ iteration: 1, validation_baselines: { idle: 0.9 } }, { iteration: 2, validation_baselines: { idle: 0.1, "time-of-use": 0.7416, broken: NaN } }, { iteration: 3 }];
  assert.deepEqual(validationLevels(rows).map(({ y, label }) => [y, label]), [[0.7416, "time-of-use 0.742 in validation"]]);
  assert.deepEqual(validationLevels([{ iteration: 1 }]), []);
});

test("scenarios of other weights have names of their own, however long the scenario's is", () => {
  assert.equal(weightedName("a", WEIGHTS), "a-st0_1-ef0_1-co0_5-co0_1");
  const long = "a-village-of-forty-homes-and-a-few-workshops-in-the-";
  const weights = [WEIGHTS, { ...WEIGHTS, cooperation: 0.15 }, { ...WEIGHTS, cost: 0.123456789 }];
  const names = [`${long}north`, `${long}south`, "short"].flatMap((name) => weights.map((one) => weightedName(name, one)));
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);
});
