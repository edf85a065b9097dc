/**
 * Lines of metrics.jsonl as columns to draw: pure functions.
 *
 * @typedef {Record<string, any>} MetricRow
 */

export const PARTS = ["stability", "efficiency", "cost", "cooperation"];

const LONGEST = 64; // characters of a scenario's name

/**
 * Name of the scenario that is saved beside another and differs in its weights of the reward only; one too long is cut
 * and ends in a number of its own, so that no other is overwritten.
 * @param {string} scenario
 * @param {Record<string, number>} weights
 */
export function weightedName(scenario, weights) {
  const text = PARTS.map((part) => `${part[0]}${part[1]}${String(weights[part]).replace(".", "_")}`).join("-");
  const name = `${scenario}-${text}`;
  return name.length <= LONGEST ? name : `${scenario.slice(0, 28)}-${text.slice(0, 27)}-${hash(name)}`;
}

/**
 * FNV-1a of 32 bits, http://www.isthe.com/chongo/tech/comp/fnv/, as seven digits of base 36.
 * @param {string} text
 */
function hash(text) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(36).padStart(7, "0");
}

/**
 * New lines behind those known; after a restart a resumed run repeats its iterations, the newest line of each counts.
 * @param {MetricRow[]} rows
 * @param {MetricRow[]} added
 * @param {boolean} restart
 */
export function append(rows, added, restart) {
  if (restart) return [...added];
  if (!rows.length || !added.length || rows[rows.length - 1].iteration < added[0].iteration) return [...rows, ...added];
  const from = added[0].iteration;
  return [...rows.filter((row) => row.iteration < from), ...added];
}

/**
 * Mean over prosumers of a value that is one number or one a prosumer.
 * @param {unknown} value
 * @returns {number|null}
 */
export function mean(value) {
  if (typeof value === "number") return value;
  if (!Array.isArray(value)) return null;
  const known = value.filter((x) => typeof x === "number");
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}

/**
 * A column over iterations.
 * @param {MetricRow[]} rows
 * @param {string} key
 * @param {number|null} agent its number, or null for the mean
 * @returns {(number|null)[]}
 */
export function column(rows, key, agent = null) {
  return rows.map((row) => {
    const value = row[key];
    if (agent !== null && Array.isArray(value)) return typeof value[agent] === "number" ? value[agent] : null;
    return mean(value);
  });
}

/**
 * Running mean over a window centred on each point; gaps stay gaps.
 * @param {(number|null)[]} values
 * @param {number} width points
 */
export function smooth(values, width) {
  if (width < 2) return values;
  const half = Math.floor(width / 2);
  return values.map((value, k) => {
    if (value === null) return null;
    const near = values.slice(Math.max(0, k - half), k + half + 1).filter((x) => x !== null);
    return /** @type {number[]} */ (near).reduce((a, b) => a + b, 0) / near.length;
  });
}

/**
 * Points a chart need not exceed: every k-th line, the last and every validated one kept.
 * @param {MetricRow[]} rows
 * @param {number} most
 */
export function thinned(rows, most) {
  const every = Math.ceil(rows.length / most);
  if (every < 2) return rows;
  return rows.filter((row, k) => k % every === 0 || k === rows.length - 1 || row.validation_score != null);
}

/**
 * The best validation so far.
 * @param {MetricRow[]} rows
 * @returns {{iteration: number, score: number}|null}
 */
export function best(rows) {
  let found = null;
  for (const row of rows)
    if (typeof row.validation_score === "number" && (!found || row.validation_score > found.score))
      found = { iteration: row.iteration, score: row.validation_score };
  return found;
}

/**
 * Seconds a run still needs, from its last iterations; the limit in minutes counts where it comes first.
 * @param {MetricRow[]} rows
 * @param {number|null} iterations
 * @param {number|null} maxMinutes
 * @returns {number|null}
 */
export function eta(rows, iterations, maxMinutes) {
  const last = rows.at(-1);
  if (!last) return null;
  const from = rows[Math.max(0, rows.length - 20)];
  const pace = from === last ? last.seconds / last.iteration : (last.seconds - from.seconds) / (last.iteration - from.iteration);
  const byCount = iterations === null ? Infinity : Math.max(0, iterations - last.iteration) * pace;
  const byTime = maxMinutes === null ? Infinity : Math.max(0, maxMinutes * 60 - last.seconds);
  const least = Math.min(byCount, byTime);
  return Number.isFinite(least) ? least : null;
}
