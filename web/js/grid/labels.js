/** Where the names of prosumers stand: beside the disc, where the fewest cables and links run. */

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("./layout.js").Point} Point */
/** @typedef {{ x: number, y: number, anchor: "start" | "middle" | "end" }} Spot from the middle of the disc */
/** @typedef {{ left: number, right: number, top: number, bottom: number }} Box */

const LETTER = 6.7; // px of a letter of 12 px, on average
const EDGE = 4; // px kept free at the edge of the picture
const LONGEST = 16; // letters of a name; the tooltip has all of it
export const NARROW = 560; // px, below which powers go without their unit

/**
 * A name as long as there is room for.
 * @param {string} name
 */
export const shortened = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

/**
 * A spot for each prosumer's label.
 * @param {Layout} place
 * @returns {Spot[]}
 */
export function spots(place) {
  const { radius: r, agents } = place;
  const lines = [...place.branches, ...place.feeds.map(({ points }) => points.slice(0, 2)), ...[...place.links.values()].map(({ points }) => points)];
  /** @type {Box[]} */
  const taken = agents.map(({ x, y }) => ({ left: x - r, right: x + r, top: y - r, bottom: y + r }));
  /** @type {Spot[]} the preferred first */
  const choices = /** @type {const} */ ([[0, "middle"], [7, "start"], [-7, "end"]]).flatMap(([x, anchor]) => [-r - 11, r + 18].map((y) => ({ x, y, anchor })));
  return agents.map((at) => {
    const width = (shortened(at.name).length + (place.width < NARROW ? 6 : 9)) * LETTER;
    let best = choices[0];
    let bestBox = taken[0];
    let least = Infinity;
    for (const choice of choices) {
      const { spot, box } = within(at, choice, width, place);
      const crossed = lines.filter((line) => line.some((b, k) => k > 0 && crosses(line[k - 1], b, box))).length;
      const covered = taken.filter((other) => overlap(other, box)).length + (box.top < 0 || box.bottom > place.height ? 1 : 0);
      if (crossed + 10 * covered < least) [best, bestBox, least] = [spot, box, crossed + 10 * covered];
    }
    taken.push(bestBox);
    return best;
  });
}

/**
 * A spot, moved sideways until its text is in the picture.
 * @param {Point} at
 * @param {Spot} spot
 * @param {number} width of the text
 * @param {Layout} place
 */
function within(at, spot, width, place) {
  const left = at.x + spot.x - { start: 0, middle: width / 2, end: width }[spot.anchor];
  const moved = Math.max(0, EDGE - left) + Math.min(0, place.width - EDGE - left - width);
  const base = at.y + spot.y;
  return { spot: { ...spot, x: spot.x + moved }, box: { left: left + moved, right: left + moved + width, top: base - 11, bottom: base + 3 } };
}

/** @param {Box} a @param {Box} b */
const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/**
 * Whether a straight line comes through a box (Liang and Barsky 1984).
 * @param {Point} a
 * @param {Point} b
 * @param {Box} box
 */
export function crosses(a, b, { left, right, top, bottom }) {
  let [enter, leave] = [0, 1];
  for (const [from, by, low, high] of [[a.x, b.x - a.x, left, right], [a.y, b.y - a.y, top, bottom]]) {
    if (by === 0) {
      if (from < low || from > high) return false;
      continue;
    }
    const [one, other] = [(low - from) / by, (high - from) / by];
    enter = Math.max(enter, Math.min(one, other));
    leave = Math.min(leave, Math.max(one, other));
  }
  return enter <= leave;
}
