import assert from "node:assert/strict";
import { test } from "node:test";
import { extend, extendTraces, SAMPLES } from "../js/history.js";
import { pick, Store } from "../js/store.js";

/** A store whose animation frames the test draws. */
function store() {
  /** @type {(() => void)[]} */
  const frames = [];
  const page = { hidden: false };
  const made = new Store({ a: 1, b: 2 }, { schedule: (work) => frames.push(work), isHidden: () => page.hidden });
  return { made, page, frames, draw: () => frames.splice(0).forEach((work) => work()) };
}

test("a listener hears its part at once, then once a frame with the newest value", () => {
  const { made, draw, frames } = store();
  /** @type {number[]} */
  const heard = [];
  made.subscribe((state) => state.a, (a) => heard.push(a));
  made.set({ a: 2 });
  made.set({ a: 3 });
  assert.equal(frames.length, 1);
  assert.deepEqual(heard, [1]);
  draw();
  made.set({ b: 9 });
  draw();
  assert.deepEqual(heard, [1, 3]);
});

test("nothing happens while the page is hidden, everything once when it shows", () => {
  const { made, page, draw, frames } = store();
  /** @type {number[]} */
  const heard = [];
  made.subscribe((state) => state.a, (a) => heard.push(a));
  page.hidden = true;
  made.set({ a: 2 });
  made.set({ a: 3 });
  assert.equal(frames.length, 0);
  page.hidden = false;
  made.plan();
  draw();
  assert.deepEqual(heard, [1, 3]);
});

test("snapshots cannot be changed, and who unsubscribed hears no more", () => {
  const { made, draw } = store();
  assert.throws(() => { /** @type {any} */ (made.get()).a = 5; }, TypeError);
  let count = 0;
  const stop = made.subscribe((state) => state.a, () => { count += 1; });
  stop();
  made.set((state) => ({ a: state.a + 1 }));
  draw();
  assert.equal(count, 1);
});

test("pick is the same object while its fields are", () => {
  const { made } = store();
  const select = pick("a");
  const first = select(/** @type {any} */ (made.get()));
  made.set({ b: 7 });
  assert.equal(select(/** @type {any} */ (made.get())), first);
  made.set({ a: 7 });
  assert.notEqual(select(/** @type {any} */ (made.get())), first);
});

/** @param {number} step @param {number} [episode] @returns {any} */
const frame = (step, episode = 0) => ({
  step, episode, sim_time: new Date(step * 900_000).toISOString().slice(0, 19), metrics: { step },
  agents: [{ id: "agent_0", energy_level: step / 10, bought_kw: 3, received_kw: 1, sold_kw: 0, sent_kw: 2 }],
});

test("the history keeps the last samples and begins again with a reset or another episode", () => {
  /** @type {readonly any[]} */
  let history = [];
  for (let step = 1; step <= SAMPLES + 5; step += 1) history = extend(history, frame(step));
  assert.equal(history.length, SAMPLES);
  assert.equal(history.at(-1).step, SAMPLES + 5);
  assert.equal(extend(history, frame(1)).length, 1);
  assert.equal(extend(history, frame(SAMPLES + 6, 1)).length, 1);
});

test("traces follow charge and net power", () => {
  const first = extendTraces(new Map(), frame(1), true);
  const second = extendTraces(first, frame(2), false).get("agent_0");
  assert.deepEqual(second, { soc: [0.1, 0.2], net: [2, 2] });
  assert.equal(extendTraces(first, frame(1), true).get("agent_0")?.soc.length, 1);
});
