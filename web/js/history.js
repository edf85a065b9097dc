/** What the charts remember of the frames: the last samples of the community, short traces of every prosumer. */
import { simTime } from "./format.js";

/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").Sample} Sample */
/** @typedef {import("./types.d.ts").AgentTrace} AgentTrace */
/** @typedef {import("./types.d.ts").Agent} Agent */

export const SAMPLES = 960; // ten days of quarter hours
export const TRACE = 96;
export const TRACED = 200; // prosumers; beyond, a trace of each costs more than anybody looks at

/** @param {Agent} agent */
export const netPower = (agent) => agent.bought_kw + agent.received_kw - agent.sold_kw - agent.sent_kw;

/**
 * @param {readonly Sample[]} history
 * @param {Frame} frame
 * @returns {readonly Sample[]}
 */
export function extend(history, frame) {
  const sample = { step: frame.step, episode: frame.episode, time: simTime(frame.sim_time) / 1000, metrics: frame.metrics };
  const last = history.at(-1);
  if (!last || sample.step < last.step || sample.episode !== last.episode) return [sample]; // its dates are elsewhere
  if (sample.step === last.step) return [...history.slice(0, -1), sample];
  const kept = history.length >= SAMPLES ? history.slice(history.length - SAMPLES + 1) : history.slice();
  kept.push(sample);
  return kept;
}

/**
 * @param {ReadonlyMap<string, AgentTrace>} traces
 * @param {Frame} frame
 * @param {boolean} restart whether the run began again
 * @returns {ReadonlyMap<string, AgentTrace>}
 */
export function extendTraces(traces, frame, restart) {
  const next = new Map();
  for (const agent of frame.agents.slice(0, TRACED)) {
    const old = restart ? undefined : traces.get(agent.id);
    next.set(agent.id, {
      soc: [...(old?.soc ?? []).slice(1 - TRACE), agent.energy_level],
      net: [...(old?.net ?? []).slice(1 - TRACE), netPower(agent)],
    });
  }
  return next;
}

/**
 * Earlier frames in front of what is known, those of its episode.
 * @param {readonly Frame[]} frames oldest first
 * @param {readonly Sample[]} history
 * @returns {readonly Sample[]}
 */
export function before(frames, history) {
  const first = history[0];
  if (!first) return history;
  const older = frames.filter(({ step, episode }) => step < first.step && episode === first.episode);
  const samples = older.reduce(extend, /** @type {readonly Sample[]} */ ([]));
  return [...samples, ...history].slice(-SAMPLES);
}

/**
 * A recording's metrics as CSV, which has numbers, times and booleans, never quotes: names of the columns, then lines.
 * @param {string} text
 */
export const cells = (text) => text.trim().split(/\r?\n/).map((line) => line.split(","));

/**
 * Samples of a recording's metrics as CSV.
 * @param {string} text
 * @returns {Omit<Sample, "episode">[]}
 */
export function samplesOf(text) {
  const [names, ...lines] = cells(text);
  return lines.map((line) => {
    const row = Object.fromEntries(line.map((cell, k) => [names[k], cell]));
    const metrics = Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, name === "converged" ? cell === "True" : Number(cell)]));
    return { step: Number(row.step), time: simTime(row.sim_time) / 1000, metrics: /** @type {any} */ (metrics) };
  });
}

/**
 * What was known before a gap in front of what fills it. Nothing where that does not reach back so far: a line over the
 * gap would be drawn.
 * @param {readonly Sample[]} older
 * @param {readonly Sample[]} filled
 * @returns {readonly Sample[]}
 */
export function joined(older, filled) {
  const [last, first] = [older.at(-1), filled[0]];
  return last && first.step <= last.step + 1 ? [...older.filter(({ step }) => step < first.step), ...filled].slice(-SAMPLES) : filled;
}

/**
 * Earlier samples in front of what is known, back to where their dates or steps leap: there another episode ended.
 * @param {readonly Omit<Sample, "episode">[]} samples oldest first
 * @param {readonly Sample[]} history
 * @returns {readonly Sample[]}
 */
export function beforeMetrics(samples, history) {
  const first = history[0];
  if (!first) return history;
  const older = samples.filter(({ step }) => step < first.step);
  const all = [...older, first];
  const pace = (/** @type {number} */ k) => (all[k + 1].time - all[k].time) / (all[k + 1].step - all[k].step);
  let from = older.length;
  while (from > 0 && pace(from - 1) > 0 && (from === older.length || Math.abs(pace(from - 1) - pace(from)) < 1)) from -= 1;
  return [...older.slice(from).map((sample) => ({ ...sample, episode: first.episode })), ...history].slice(-SAMPLES);
}

/**
 * The same for the prosumers' traces.
 * @param {readonly Frame[]} frames oldest first
 * @param {Sample | undefined} first the oldest sample that is known
 * @param {ReadonlyMap<string, AgentTrace>} traces
 * @returns {ReadonlyMap<string, AgentTrace>}
 */
export function beforeTraces(frames, first, traces) {
  const older = frames.filter(({ step }) => first && step < first.step);
  if (!older.length) return traces;
  const earlier = older.reduce((all, frame) => extendTraces(all, frame, false), /** @type {ReadonlyMap<string, AgentTrace>} */ (new Map()));
  return new Map([...traces].map(([id, { soc, net }]) => {
    const old = earlier.get(id);
    return [id, { soc: [...(old?.soc ?? []), ...soc].slice(-TRACE), net: [...(old?.net ?? []), ...net].slice(-TRACE) }];
  }));
}
