import assert from "node:assert/strict";
import { test } from "node:test";
import { toggle } from "../js/live/transport.js";

/** @param {any} status */
async function pressed(status) {
  /** @type {any[]} */
  const said = [];
  const socket = { command: async (/** @type {string} */ command, /** @type {any} */ args) => said.push([command, args]) };
  await toggle(/** @type {any} */ ({ store: { get: () => ({ status }) }, socket }));
  return said[0];
}

test("Space pauses what runs and resumes what is paused", async () => {
  assert.deepEqual(await pressed({ state: "running" }), ["pause", {}]);
  assert.deepEqual(await pressed({ state: "paused" }), ["resume", {}]);
});

test("Space begins what ran last again, as long as it was to last", async () => {
  const run = { id: "x", scenario: "outage", policy: "idle", seed: 7, days: 2.5, steps: 240, started_at: "", autostarted: false };
  assert.deepEqual(await pressed({ state: "finished", run }), ["start", { scenario: "outage", policy: "idle", seed: 7, days: 2.5 }]);
  assert.deepEqual(await pressed({ state: "stopped", run: { ...run, days: null } }), ["start", { scenario: "outage", policy: "idle", seed: 7, days: null }]);
  assert.deepEqual(await pressed({ state: "stopped", run: null }), ["start", {}]);
});
