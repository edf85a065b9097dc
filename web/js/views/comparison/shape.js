/**
 * What a comparison's result looks like on the page: pure functions.
 *
 * @typedef {{name: string, kind: string, score: number|null, score_ci: [number, number]|null, cost_eur: number|null,
 *   kpis: Record<string, number|null>, [key: string]: any}} Row
 * @typedef {{a: string, b: string, episodes: number, cost_difference_eur: number, cost_ci: [number, number]|null,
 *   score_difference: number|null, score_ci: [number, number]|null, p: number|null, p_holm: number|null,
 *   better: string|null}} Pair
 * @typedef {{scenario: string, seeds: number[], days: number, scoreboard: {rows?: Row[]},
 *   costs: Record<string, number[]>, pairs: Pair[], daily: any[], series: any,
 *   skipped: {policy: string, reason: string}[]}} ScenarioResult
 * @typedef {{policy: string, scenario: string, row: Row|null, reason: string|null}} Cell
 */

/**
 * Scores by policy (rows, in the order asked for) and scenario (columns).
 * @param {ScenarioResult[]} scenarios
 * @param {string[]} policies
 * @returns {Cell[][]}
 */
export function matrix(scenarios, policies) {
  return policies.map((policy) =>
    scenarios.map((result) => ({
      policy,
      scenario: result.scenario,
      row: result.scoreboard.rows?.find((row) => row.name === policy) ?? null,
      reason: result.skipped.find((skip) => skip.policy === policy)?.reason ?? null,
    })),
  );
}

/**
 * Rows in the order of a value; those without come last whichever way one sorts, ties keep their order.
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => number|string|null|undefined} value
 * @param {"ascending"|"descending"} direction
 * @returns {T[]}
 */
export function sorted(rows, value, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const missing = (/** @type {unknown} */ x) => x === null || x === undefined || Number.isNaN(x);
  return rows
    .map((row, k) => ({ row, k, x: value(row) }))
    .sort((a, b) => {
      if (missing(a.x) || missing(b.x)) return Number(missing(a.x)) - Number(missing(b.x)) || a.k - b.k;
      const order =
        typeof a.x === "string" ? a.x.localeCompare(String(b.x)) : Number(a.x) - Number(b.x);
      return sign * order || a.k - b.k;
    })
    .map((item) => item.row);
}

/**
 * Columns that a sentence can say: those with words for it in which every value is 0.
 * @template {{none?: string, digits: number, value: (row: Row) => number|null|undefined}} K
 * @param {Row[]} rows
 * @param {K[]} columns
 * @returns {K[]}
 */
export const spared = (rows, columns) =>
  columns.filter((column) => column.none && rows.every((row) => Math.abs(column.value(row) ?? 0) < 0.5 * 10 ** -column.digits));

/**
 * A policy against the reference, seen from the policy: `cost` < 0 means it is cheaper.
 * @param {Pair[]} pairs
 * @param {string} name
 * @param {string} reference
 */
export function against(pairs, name, reference) {
  const pair = pairs.find((p) => (p.a === name && p.b === reference) || (p.a === reference && p.b === name));
  if (!pair) return null;
  const sign = pair.a === name ? 1 : -1;
  /** @param {[number, number]|null} ci */
  const turned = (ci) => (ci === null ? null : sign === 1 ? ci : /** @type {[number, number]} */ ([-ci[1], -ci[0]]));
  const verdict = pair.better === name ? "better" : pair.better === reference ? "worse" : "no difference";
  return {
    cost: sign * pair.cost_difference_eur,
    costCi: turned(pair.cost_ci),
    score: pair.score_difference === null ? null : sign * pair.score_difference,
    scoreCi: turned(pair.score_ci),
    p: pair.p_holm,
    episodes: pair.episodes,
    verdict,
  };
}

/**
 * Columns of several policies on one time axis, as uPlot wants them. Shorter ones end in null.
 * @param {{start: string, step_minutes: number, policies: Record<string, Record<string, number[]>>}} series
 * @param {string} column
 * @param {string[]} names
 * @returns {[number[], ...(number|null)[][]]}
 */
export function aligned(series, column, names) {
  const values = names.map((name) => series.policies[name]?.[column] ?? []);
  const length = Math.max(0, ...values.map((v) => v.length));
  const start = Date.parse(`${series.start}Z`) / 1000;
  const times = Array.from({ length }, (_, k) => start + k * series.step_minutes * 60);
  return [times, ...values.map((v) => times.map((_, k) => v[k] ?? null))];
}

/**
 * Running sum, e.g. the bill so far.
 * @param {(number|null)[]} values
 */
export function cumulative(values) {
  let sum = 0;
  return values.map((value) => (value === null ? null : (sum += value)));
}

/**
 * KPIs as parts of a wheel: 0 at the centre is the worst of the compared, 1 at the rim the best.
 * @param {Row[]} rows
 * @param {{key: string, good: "high"|"low"|"neither", value: (row: Row) => number|null|undefined}[]} axes
 * @returns {{name: string, values: (number|null)[]}[]}
 */
export function wheel(rows, axes) {
  const spans = axes.map((axis) => {
    const known = rows.map(axis.value).filter((x) => typeof x === "number" && Number.isFinite(x));
    return [Math.min(.../** @type {number[]} */ (known)), Math.max(.../** @type {number[]} */ (known))];
  });
  return rows.map((row) => ({
    name: row.name,
    values: axes.map((axis, k) => {
      const x = axis.value(row);
      const [low, high] = spans[k];
      if (typeof x !== "number" || !Number.isFinite(x)) return null;
      if (high - low < 1e-9 * Math.max(1, Math.abs(high))) return 1;
      return axis.good === "high" ? (x - low) / (high - low) : (high - x) / (high - low);
    }),
  }));
}

/**
 * Days of one policy: the community's sums, and the prosumers they are made of.
 * @param {any[]} daily
 * @param {string} policy
 * @returns {{day: number, total: Record<string, number>, agents: any[]}[]}
 */
export function days(daily, policy) {
  /** @type {Map<number, any[]>} */
  const byDay = new Map();
  for (const row of daily) if (row.policy === policy) byDay.set(row.day, [...(byDay.get(row.day) ?? []), row]);
  return [...byDay.entries()]
    .sort(([a], [b]) => a - b)
    .map(([day, agents]) => {
      /** @type {Record<string, number>} */
      const total = {};
      for (const row of agents)
        for (const [key, value] of Object.entries(row)) if (key.endsWith("_kwh")) total[key] = (total[key] ?? 0) + value;
      return { day, total, agents };
    });
}
