/** What a learner's score is measured against: lines across the learning curve. */

/**
 * The telling baselines of a scoreboard, the best of each kind.
 * @param {{rows?: {name: string, kind: string, score: number|null}[]}|null} scoreboard
 * @returns {{y: number, label: string, token: string}[]}
 */
export function baselineLevels(scoreboard) {
  const kinds = [["rule", "--series-6"], ["mpc", "--series-4"], ["optimum", "--series-2"]];
  return kinds.flatMap(([kind, token]) => {
    const rows = (scoreboard?.rows ?? []).filter((row) => row.kind === kind && row.score !== null);
    const best = rows.sort((a, b) => Number(b.score) - Number(a.score))[0];
    return best ? [{ y: Number(best.score), label: `${best.name} ${Number(best.score).toFixed(3)}`, token }] : [];
  });
}
