/** What part of the grid is in sight, as a word of the URL: `2.5_0.431_0.512` is 2.5 times as large, around that place. */

/** @typedef {{ x: number, y: number, k: number }} Transform */

export const SCALES = /** @type {[number, number]} */ ([0.7, 12]);
const BEYOND = 0.3; // of width and height, how far one may go from the picture

/**
 * @param {Transform} transform
 * @param {number} width of the picture
 * @param {number} height
 * @returns {string | null} null: everything, as at first
 */
export function zoomText({ x, y, k }, width, height) {
  const [cx, cy] = [(width / 2 - x) / k / width, (height / 2 - y) / k / height];
  const text = [round(k, 2), round(cx, 3), round(cy, 3)].join("_");
  return text === "1_0.5_0.5" ? null : text;
}

/**
 * @param {string | undefined} text
 * @param {number} width
 * @param {number} height
 * @returns {Transform} everything, where the text says nothing
 */
export function zoomOf(text, width, height) {
  const [k, cx, cy] = (text ?? "").split("_").map(Number);
  if (![k, cx, cy].every(Number.isFinite)) return { x: 0, y: 0, k: 1 };
  const scale = within(k, SCALES);
  const [ox, oy] = [cx, cy].map((part) => within(part, [-BEYOND, 1 + BEYOND]));
  return { x: width / 2 - scale * ox * width, y: height / 2 - scale * oy * height, k: scale };
}

/** @param {number} value @param {number} digits */
const round = (value, digits) => String(Number(value.toFixed(digits)));

/** @param {number} x @param {[number, number]} span */
const within = (x, [low, high]) => Math.min(high, Math.max(low, x));
