/** Colours of the charts. */

/**
 * A token's colour as it is now.
 * @param {string} token e.g. `--accent`
 */
export function colour(token) {
  return getComputedStyle(document.documentElement).getPropertyValue(token).trim() || "#888";
}

/** The page's typeface for Canvas. */
export const chartFont = () => `11px ${getComputedStyle(document.documentElement).getPropertyValue("--font")}`;

/** Tokens of categories in the order they are given out; told apart with any colour vision, with dashes besides. */
export const SERIES = Array.from({ length: 8 }, (_, k) => `--series-${k + 1}`);
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/**
 * Colour and dash of the k-th of several lines.
 * @param {number} k
 */
export function lineStyle(k) {
  return { token: SERIES[k % SERIES.length], dash: DASHES[(Math.floor(k / SERIES.length) + (k % 2)) % DASHES.length] };
}
