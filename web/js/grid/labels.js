/** Where the names of prosumers stand: beside the disc, over nothing else, where the fewest cables and links run. */

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("./layout.js").Point} Point */
/** @typedef {{ x: number, y: number, anchor: "start" | "middle" | "end" }} Spot from the middle of the disc */
/** @typedef {Spot & { text: string, power: "unit" | "number" | "none", crowded: boolean }} Label `crowded`: without room */
/** @typedef {{ left: number, right: number, top: number, bottom: number }} Box */

const LETTER = 6.7; // px of a letter of 12 px, on average
const EDGE = 4; // px kept free at the edge of the picture
const LONGEST = 16; // letters of a name; the tooltip has all of it
const APART = 5; // px between two labels
const [NEAR, NEARER] = [11, 5]; // px from the disc to the letters' foot
const BRIEF = 9; // letters of one where there is little room
const ASIDE = 5; // crossed lines, rather than which it stands to the left or right of the disc
export const NARROW = 560; // px, below which powers go without their unit
const FIGURES = { unit: 9, number: 6, none: 0 }; // letters of a power

/**
 * A name as long as there is room for.
 * @param {string} name
 * @param {number} [most] letters
 */
export const shortened = (name, most = LONGEST) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

/**
 * Names without the words that all of them begin with: "connection 1", "connection 12" → "1", "12".
 * @param {string[]} names
 */
export function briefs(names) {
  let common = names.length > 1 ? names[0] : "";
  for (const name of names) while (!name.startsWith(common)) common = common.slice(0, -1);
  common = common.match(/^.*[\s_-]/)?.[0] ?? "";
  return names.map((name) => shortened(name.slice(common.length) || name, BRIEF));
}

/**
 * A label for each prosumer. No two overlap, nor a label a disc: where they would, all names are shorter, and those that
 * have no room even so are shown only while one points at their prosumer.
 * @param {Layout} place
 * @param {Box[]} [others] what else no label may cover
 * @returns {Label[]}
 */
export function spots(place, others = []) {
  const names = place.agents.map(({ name }) => name);
  const short = briefs(names);
  /** @type {Label["power"]} */
  const power = place.width < NARROW ? "number" : "unit";
  for (const form of [{ texts: names.map((name) => shortened(name)), power }, { texts: short, power }]) {
    const found = placed(place, others, (i) => [{ text: form.texts[i], power: form.power }]);
    if (!found.some(({ crowded }) => crowded)) return found;
  }
  return placed(place, others, (i) => [{ text: short[i], power: "number" }, { text: short[i], power: "none" }], NEARER);
}

/**
 * @param {Layout} place
 * @param {Box[]} others
 * @param {(i: number) => { text: string, power: Label["power"] }[]} forms of a label, the best first
 * @param {number} [near] px from the disc to the letters' foot
 * @returns {Label[]}
 */
function placed(place, others, forms, near = NEAR) {
  const { radius: r, agents } = place;
  const lines = [...place.branches, ...place.feeds.map(({ points }) => points.slice(0, 2)), ...[...place.links.values()].map(({ points }) => points)];
  /** @type {Box[]} */
  const taken = [...others, ...agents.map(({ x, y }) => ({ left: x - r, right: x + r, top: y - r, bottom: y + r }))];
  /** @type {(Spot & { more: number })[]} the preferred first */
  const choices = [
    .../** @type {const} */ ([[0, "middle"], [7, "start"], [-7, "end"]]).flatMap(([x, anchor]) => [-r - near, r + near + 7].map((y) => ({ x, y, anchor, more: 0 }))),
    { x: r + 5, y: 4, anchor: "start", more: ASIDE }, { x: -r - 5, y: 4, anchor: "end", more: ASIDE },
  ];
  return agents.map((at, i) => {
    for (const form of forms(i)) {
      const width = (form.text.length + FIGURES[form.power]) * LETTER;
      /** @type {{ spot: Spot, box: Box } | null} */
      let best = null;
      let least = Infinity;
      for (const { more, ...choice } of choices) {
        const { spot, box } = within(at, choice, width, place);
        if (box.top < 0 || box.bottom > place.height + 1 || taken.some((other) => overlap(other, box))) continue;
        const crossed = more + lines.filter((line) => line.some((b, k) => k > 0 && crosses(line[k - 1], b, box))).length;
        if (crossed < least) [best, least] = [{ spot, box }, crossed];
      }
      if (!best) continue;
      taken.push({ ...best.box, left: best.box.left - APART, right: best.box.right + APART });
      return { ...best.spot, ...form, crowded: false };
    }
    const [form] = forms(i);
    return { ...within(at, choices[0], (form.text.length + FIGURES[form.power]) * LETTER, place).spot, ...form, crowded: true };
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
  return { spot: { x: spot.x + moved, y: spot.y, anchor: spot.anchor }, box: { left: left + moved, right: left + moved + width, top: base - 11, bottom: base + 3 } };
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
