/** What a learner's score is measured against: lines across the learning curve. */

import { weightedName } from "./columns.js";

/** @typedef {{y: number, label: string, token: string}} Level */
/** @typedef {{name: string, kind: string, forecast?: string|null, score: number|null}} Row of a scoreboard */

const LEAST_FIRST = ["mpc-persistence", "mpc-noisy", "mpc-perfect"];

/**
 * The telling baselines of a scoreboard: the best rule, model predictive control, the optimum.
 *
 * Of model predictive control it is the one that knows of the hours ahead what the policies know, which alone is fair
 * to them; where none does, the one that knows the least. Its label says so.
 * @param {{rows?: Row[]}|null} scoreboard
 * @returns {Level[]}
 */
export function baselineLevels(scoreboard) {
  const rows = (scoreboard?.rows ?? []).filter((row) => row.score !== null);
  const best = (/** @type {string} */ kind) => rows.filter((row) => row.kind === kind).sort((a, b) => Number(b.score) - Number(a.score))[0];
  const known = rows.find((row) => row.kind === "policy")?.forecast ?? null;
  const mpc = rows.filter((row) => row.kind === "mpc");
  const fair = mpc.find((row) => known !== null && row.forecast === known);
  const planner = fair ?? LEAST_FIRST.map((name) => mpc.find((row) => row.name === name)).find(Boolean);
  const knows = fair ? `, same forecast (${known})` : planner?.name === "mpc-perfect" ? ", knows the future" : "";
  return [
    { row: best("rule"), token: "--series-6", more: "" }, { row: planner, token: "--series-4", more: knows }, { row: best("optimum"), token: "--series-2", more: "" },
  ].flatMap(({ row, token, more }) => (row ? [{ y: Number(row.score), label: `${row.name} ${Number(row.score).toFixed(3)}${more}`, token }] : []));
}

/**
 * The best rule on the run's own validation weeks: what there is before the first scoreboard.
 * @param {import("./columns.js").MetricRow[]} rows
 * @returns {Level[]}
 */
export function validationLevels(rows) {
  const scores = /** @type {[string, number][]} */ (Object.entries(rows.findLast((row) => row.validation_baselines)?.validation_baselines ?? {}));
  const best = scores.filter(([, score]) => Number.isFinite(score)).sort(([, a], [, b]) => b - a)[0];
  return best ? [{ y: best[1], label: `${best[0]} ${best[1].toFixed(3)} in validation`, token: "--series-6" }] : [];
}

/**
 * The run with the scoreboard to compare a run with: its own, else the newest of its scenario. Other weights of the
 * reward make no other scenario here: scores do not depend on them.
 * @template {{name: string, scenario: string|null, evaluated: boolean}} R
 * @param {R[]} runs the newest first
 * @param {string} name of the run
 * @param {Record<string, number>} [rewards] its weights of the reward, where known
 * @returns {R|undefined}
 */
export function referenceRun(runs, name, rewards) {
  const run = runs.find((item) => item.name === name);
  if (!run || run.evaluated) return run;
  return runs.find(({ evaluated, scenario }) => evaluated && scenario !== null
    && (scenario === run.scenario || (rewards && weightedName(scenario, rewards) === run.scenario)));
}
