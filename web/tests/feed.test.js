import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { patience, socketUrl } from "../js/reconnecting.js";
import { TrainingFeed } from "../js/views/training/feed.js";
import { FakeSocket } from "./fakesocket.js";

/** @type {any[]} */
let opened;
/** @type {[number[], any][]} what the page was told: iterations and configuration */
let told;

/** @param {Partial<import("../js/reconnecting.js").SocketOptions>} [options] */
function feed(options = {}) {
  const made = new TrainingFeed("ws://test/ws/training?run=a", (rows, config) => told.push([rows.map((row) => row.iteration), config]), {
    open: () => {
      opened.push(new FakeSocket());
      return opened.at(-1);
    },
    random: () => 1, ...options,
  });
  made.connect();
  opened[0].accept();
  return made;
}

/** @param {any} socket @param {number[]} iterations @param {boolean} [restart] */
const say = (socket, iterations, restart = false) => socket.say({ type: "training_metrics", run: "a", restart, rows: iterations.map((iteration) => ({ iteration })) });

beforeEach(() => {
  [opened, told] = [[], []];
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});
afterEach(() => mock.timers.reset());

test("lines follow each other; a resumed run repeats some; a run begun anew has no others", () => {
  const made = feed();
  opened[0].say({ type: "training_hello", run: "a", config: { train: 1 } });
  assert.equal(made.connection.state, "open");
  say(opened[0], [1, 2, 3]);
  say(opened[0], [3, 4]);
  say(opened[0], [1], true);
  assert.deepEqual(told.map(([iterations]) => iterations), [[], [1, 2, 3], [1, 2, 3, 4], [1]]);
  assert.deepEqual(told.at(-1)?.[1], { train: 1 });
});

test("after a lost connection it comes back, and what it knew is replaced by what is told again", () => {
  const made = feed();
  opened[0].say({ type: "training_hello", run: "a", config: null });
  say(opened[0], [1, 2, 3]);
  opened[0].end(1006);
  assert.equal(made.connection.state, "waiting");
  mock.timers.tick(500);
  opened[1].accept();
  opened[1].say({ type: "training_hello", run: "a", config: {} });
  assert.deepEqual(told.at(-1)?.[0], [1, 2, 3]); // shown until there are others
  say(opened[1], [1, 2]);
  say(opened[1], [3, 4]);
  assert.deepEqual(told.at(-1)?.[0], [1, 2, 3, 4]);
  assert.equal(made.connection.attempt, 0);
});

test("a run that is not there ends it, a wrong token until there is another", () => {
  const made = feed({ token: () => "secret" });
  assert.deepEqual(opened[0].sent, [{ type: "auth", token: "secret" }]);
  opened[0].end(4401);
  mock.timers.tick(60_000);
  assert.deepEqual([made.connection.state, opened.length], ["unauthorized", 1]);
  made.authenticate();
  opened[1].end(4404);
  mock.timers.tick(60_000);
  assert.deepEqual([made.connection.state, opened.length], ["closed", 2]);
});

test("heartbeats keep it, silence ends it", () => {
  const made = feed({ silence_ms: patience(2) });
  opened[0].say({ type: "training_hello", run: "a", config: null });
  for (let k = 0; k < 20; k += 1) {
    mock.timers.tick(1000);
    opened[0].say({ type: "training_status", run: "a", rows: 0, timestamp: "" });
  }
  assert.equal(made.connection.state, "open");
  for (let k = 0; k < 7; k += 1) mock.timers.tick(1000);
  assert.equal(made.connection.state, "waiting");
  made.close();
  mock.timers.tick(60_000);
  assert.equal(opened.length, 1, "closed for good");
});

test("addresses of sockets follow those of the API", () => {
  const api = (/** @type {string} */ base) => /** @type {any} */ ({ url: (/** @type {string} */ path) => new URL(path, base) });
  assert.equal(socketUrl(api("https://host/grid/"), "ws/training?run=a").href, "wss://host/grid/ws/training?run=a");
  assert.equal(socketUrl(api("http://host:8000/"), "ws/grid").href, "ws://host:8000/ws/grid");
});
