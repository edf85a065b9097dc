/** What the charts remember of the frames: the last samples of the community, short traces of every prosumer. */
import { simTime } from "./format.js";

/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").Sample} Sample */
/** @typedef {import("./types.d.ts").AgentTrace} AgentTrace */

export const SAMPLES = 960; // ten days of quarter hours
export const TRACE = 96;
const TRACED = 200; // prosumers; beyond, a trace of each costs more than anybody looks at

/**
 * @param {readonly Sample[]} history
 * @param {Frame} frame
 * @returns {readonly Sample[]}
 */
export function extend(history, frame) {
  const sample = { step: frame.step, episode: frame.episode, time: simTime(frame.sim_time) / 1000, metrics: frame.metrics };
  const last = history.at(-1);
  if (!last || sample.step <= last.step || sample.episode !== last.episode) return [sample]; // its dates are elsewhere
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
    const net = agent.bought_kw + agent.received_kw - agent.sold_kw - agent.sent_kw;
    next.set(agent.id, {
      soc: [...(old?.soc ?? []).slice(1 - TRACE), agent.energy_level],
      net: [...(old?.net ?? []).slice(1 - TRACE), net],
      cost_eur: (old?.cost_eur ?? 0) + agent.cost_eur,
    });
  }
  return next;
}
