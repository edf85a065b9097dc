import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { FIRST_DELAY_MS, LAST_DELAY_MS } from "../js/reconnecting.js";
import { CommandError, GridWebSocket } from "../js/socket.js";
import { FakeSocket } from "./fakesocket.js";

/** @type {any} */
const HELLO = { type: "hello", limits: { heartbeat_s: 5 } };
/** @type {any[]} */
let opened;

/** @param {Partial<import("../js/reconnecting.js").SocketOptions>} [options] */
function client(options = {}) {
  const made = new GridWebSocket("ws://test/ws/grid", {
    open: () => {
      opened.push(new FakeSocket());
      return opened.at(-1);
    },
    random: () => 1, ...options,
  });
  made.connect();
  return made;
}

/** @param {Partial<import("../js/reconnecting.js").SocketOptions>} [options] */
function connected(options) {
  const made = client(options);
  opened[0].accept();
  opened[0].say(HELLO);
  return made;
}

beforeEach(() => {
  opened = [];
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});
afterEach(() => mock.timers.reset());

test("it is open once the server said hello, and hands over what arrives", () => {
  const socket = client();
  /** @type {string[]} */
  const heard = [];
  let connections = 0;
  socket.onMessage = (message) => heard.push(message.type);
  socket.onConnect = () => { connections += 1; };
  opened[0].accept();
  assert.equal(socket.connection.state, "connecting");
  opened[0].say(HELLO);
  opened[0].say({ type: "frame" });
  assert.equal(socket.connection.state, "open");
  assert.deepEqual(heard, ["hello", "frame"]);
  assert.equal(connections, 1);
});

test("it comes back after 0.5, 1, 2 … 10 s", () => {
  const socket = client();
  for (const wait of [500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    const before = opened.length;
    opened.at(-1).end(1006);
    assert.equal(socket.connection.state, "waiting");
    mock.timers.tick(wait - 1);
    assert.equal(opened.length, before);
    mock.timers.tick(1);
    assert.equal(opened.length, before + 1);
  }
  opened.at(-1).accept();
  opened.at(-1).say(HELLO);
  assert.equal(socket.connection.attempt, 0);
  opened.at(-1).end(1001);
  assert.equal(socket.connection.reason, "The server was stopped.");
  assert.equal(/** @type {number} */ (socket.connection.retry_at) - Date.now(), FIRST_DELAY_MS);
});

test("jitter takes up to half of the wait", () => {
  const socket = client({ random: () => 0 });
  opened[0].end(1006);
  assert.equal(/** @type {number} */ (socket.connection.retry_at) - Date.now(), FIRST_DELAY_MS / 2);
  assert.ok(LAST_DELAY_MS === 10_000);
});

test("a wrong token ends it until another is given", () => {
  /** @type {string | null} */
  let token = "wrong";
  const socket = client({ token: () => token });
  opened[0].accept();
  assert.deepEqual(opened[0].sent[0], { type: "auth", token: "wrong" });
  opened[0].end(4401, "not authenticated");
  assert.equal(socket.connection.state, "unauthorized");
  mock.timers.tick(60_000);
  assert.equal(opened.length, 1);
  token = "right";
  socket.authenticate();
  opened[1].accept();
  assert.deepEqual(opened[1].sent[0], { type: "auth", token: "right" });
});

test("without a token nothing is said first", () => {
  client();
  opened[0].accept();
  assert.deepEqual(opened[0].sent, []);
});

test("a command resolves with the status of its ack, by id", async () => {
  const socket = connected();
  const [pause, step] = [socket.command("pause"), socket.command("step", { steps: 2 })];
  const [first] = opened[0].commands("pause");
  const [second] = opened[0].commands("step");
  assert.deepEqual(second.arguments, { steps: 2 });
  opened[0].say({ type: "ack", id: second.id, command: "step", status: { state: "paused" } });
  opened[0].say({ type: "ack", id: first.id, command: "pause", status: { state: "running" } });
  assert.equal((await pause).state, "running");
  assert.equal((await step).state, "paused");
});

test("an error rejects its command with the server's words; one without a command goes to onError", async () => {
  const socket = connected();
  /** @type {string[]} */
  const errors = [];
  socket.onError = (error) => errors.push(error.message);
  const done = socket.command("start");
  const [{ id }] = opened[0].commands("start");
  opened[0].say({ type: "error", id, command: "start", error: { code: "conflict", message: "runs", field: null }, details: { run: 1 } });
  opened[0].say({ type: "error", id: null, command: null, error: { code: "malformed", message: "not JSON", field: null }, details: null });
  await assert.rejects(done, (error) => error instanceof CommandError && error.code === "conflict" && error.details?.run === 1);
  assert.deepEqual(errors, ["not JSON"]);
});

test("a lost connection rejects what waits, and commands are refused while it lasts", async () => {
  const socket = connected();
  const done = socket.command("pause");
  opened[0].end(1006);
  await assert.rejects(done, /lost before/);
  await assert.rejects(socket.command("pause"), /Not connected/);
});

test("silence is a lost connection", () => {
  const socket = connected();
  mock.timers.tick(15_001 + 3000);
  assert.equal(socket.connection.state, "waiting");
  assert.equal(opened[0].readyState, 3);
});

test("a network that answers nothing while connecting is lost too, and so is what was asked before", () => {
  const socket = connected();
  let lost = 0;
  socket.onLost = () => { lost += 1; };
  opened[0].end(1001); // the server said why: nothing is lost
  mock.timers.tick(500);
  assert.deepEqual([opened.length, lost, socket.connection.state], [2, 0, "connecting"]);
  mock.timers.tick(15_001 + 3000); // no answer to the handshake
  assert.equal(socket.connection.reason, "The server does not answer.");
  assert.equal(opened[1].readyState, 3);
  mock.timers.tick(1000);
  assert.deepEqual([opened.length, lost], [3, 1]);
  opened[2].accept();
  opened[2].say(HELLO);
  socket.connect();
  assert.equal(lost, 1);
});

test("the round trip of a ping is the latency", async () => {
  const socket = connected();
  const [{ id }] = opened[0].commands("ping");
  opened[0].say({ type: "ack", id, command: "ping", status: {} });
  await Promise.resolve();
  assert.equal(typeof socket.connection.latency_ms, "number");
});

test("what a closed socket still says is not heard", () => {
  const socket = connected();
  let heard = 0;
  socket.onMessage = () => { heard += 1; };
  socket.connect();
  opened[0].say({ type: "frame" });
  opened[0].end(1006);
  assert.equal(heard, 0);
  assert.equal(socket.connection.state, "connecting");
});
