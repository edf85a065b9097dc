/** The whole recording at a glance, from its metrics as CSV: pure functions but for the drawing. */

import { s } from "../../dom.js";
import { cells } from "../../history.js";

/**
 * @typedef {{frame: number[], stability: number[], generation: number[], demand: number[]}} Overview
 */
const COLUMNS = { frame: "frame", stability: "stability", generation: "total_generation_kw", demand: "total_demand_kw" };

/**
 * Columns by name.
 * @param {string} text
 * @returns {Overview}
 */
export function parseMetrics(text) {
  const [names, ...lines] = cells(text);
  const places = Object.entries(COLUMNS).map(([key, name]) => /** @type {[string, number]} */ ([key, names.indexOf(name)]));
  /** @type {any} */
  const out = { frame: [], stability: [], generation: [], demand: [] };
  for (const line of lines) for (const [key, k] of places) out[key].push(k < 0 ? Number.NaN : Number(line[k]));
  return out;
}

/**
 * @param {Overview} overview
 * @param {(values: number[], key: keyof Overview) => number[]} change
 */
const each = ({ frame, stability, generation, demand }, change) => ({
  frame: change(frame, "frame"), stability: change(stability, "stability"), generation: change(generation, "generation"), demand: change(demand, "demand"),
});

/**
 * Without the frames that made room.
 * @param {Overview} overview
 * @param {number} first number of the oldest frame there is
 * @returns {Overview}
 */
export function since(overview, first) {
  const gone = overview.frame.findIndex((frame) => frame >= first);
  return gone === 0 ? overview : each(overview, (values) => (gone < 0 ? [] : values.slice(gone)));
}

/**
 * @param {Overview} overview
 * @param {Overview} added frames behind it
 * @returns {Overview}
 */
export const extended = (overview, added) => each(overview, (values, key) => [...values, ...added[key]]);

/**
 * The highest and lowest value of each of so many slices, so that no peak is lost.
 * @param {number[]} values
 * @param {number} slices
 * @param {(values: number[]) => number} reduce
 */
export function reduced(values, slices, reduce) {
  const size = Math.max(1, Math.ceil(values.length / slices));
  const out = [];
  for (let k = 0; k < values.length; k += size) out.push(reduce(values.slice(k, k + size)));
  return out;
}

/**
 * Demand and generation as areas, stability as a line.
 * @param {Overview} overview
 * @param {number} width
 * @param {number} height
 */
export function overviewPaths({ stability, generation, demand }, width, height) {
  const slices = Math.max(2, Math.floor(width / 2));
  const most = (/** @type {number[]} */ v) => v.reduce((a, b) => Math.max(a, b), -Infinity);
  const least = (/** @type {number[]} */ v) => v.reduce((a, b) => Math.min(a, b), Infinity);
  const [g, d, st] = [reduced(generation, slices, most), reduced(demand, slices, most), reduced(stability, slices, least)];
  const top = Math.max(most(g), most(d), 1e-9);
  const line = (/** @type {number[]} */ values, /** @type {number} */ scale) =>
    values.map((v, k) => `${k ? "L" : "M"}${((k + 0.5) * width) / values.length},${(height - (Math.max(v, 0) / scale) * (height - 2)).toFixed(1)}`).join("");
  const area = (/** @type {number[]} */ values) => `${line(values, top)}L${width},${height}L0,${height}Z`;
  return [
    s("path", { class: "over-generation", d: area(g) }),
    s("path", { class: "over-demand", d: line(d, top) }),
    s("path", { class: "over-stability", d: line(st, 1) }),
  ];
}
