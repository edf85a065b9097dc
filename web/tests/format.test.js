import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../js/format.js";
import { href, parse } from "../js/router.js";

const N = "\u202f";

test("numbers have fixed decimals, a real minus, and a dash where there is none", () => {
  assert.equal(format.number(1234.5, 1), "1,234.5");
  assert.equal(format.number(-0.25, 2), "−0.25");
  assert.equal(format.number(-0.001, 1), "0.0");
  assert.equal(format.number(0.5, 1, { signed: true }), "+0.5");
  assert.equal(format.number(0, 1, { signed: true }), "0.0");
  assert.equal(format.number(Number.NaN), "–");
  assert.equal(format.number(null), "–");
});

test("quantities carry their unit behind a space that does not break", () => {
  assert.equal(format.kw(1.234), `1.23${N}kW`);
  assert.equal(format.kw(240.4), `240${N}kW`);
  assert.equal(format.signedKw(-1), `−1.00${N}kW`);
  assert.equal(format.eur(-0.456), `−0.46${N}EUR`);
  assert.equal(format.percent(0.634), `63${N}%`);
  assert.equal(format.bytes(2_500_000), `2.5${N}MB`);
  assert.equal(format.kw(undefined), "–");
});

test("one is singular", () => {
  assert.equal(format.count(1, "recording"), "1 recording");
  assert.equal(format.count(0, "recording"), "0 recordings");
  assert.equal(format.count(1200, "recording"), "1,200 recordings");
  assert.equal(format.count(0.25, "day"), "0.25 days");
  assert.equal(format.count(2, "policy", "policies"), "2 policies");
});

test("durations have their two largest units", () => {
  assert.equal(format.duration(0.2), `0${N}s`);
  assert.equal(format.duration(45), `45${N}s`);
  assert.equal(format.duration(3600), `1${N}h`);
  assert.equal(format.duration(7500), `2${N}h 5${N}min`);
  assert.equal(format.duration(4 * 86_400 + 7300), `4${N}d 2${N}h`);
});

test("simulated time is shown as it was sent, wherever the viewer is", () => {
  assert.equal(format.simClock("2016-03-27T02:30:00"), "02:30");
  assert.equal(format.simDate("2016-06-01T14:15:00"), "Wed 1 Jun 2016");
  assert.equal(format.simClock(null), "–");
});

test("grades", () => assert.deepEqual([0.9, 0.8, 0.7, 0.2].map(format.grade), ["good", "good", "fair", "poor"]));

test("a URL names the view and its parameters, and back", () => {
  const link = href("live", { agent: "agent_2", chart: "price" });
  assert.equal(link, "#/live?agent=agent_2&chart=price");
  assert.deepEqual(parse(link, "live"), { view: "live", params: { agent: "agent_2", chart: "price" } });
  assert.deepEqual(parse("", "live"), { view: "live", params: {} });
  assert.equal(parse("#/../x", "live").view, "live");
});
