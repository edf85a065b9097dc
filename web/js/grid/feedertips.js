/** What the tooltip says of a branch, a bus or a link. */

/** @typedef {import("../types.d.ts").Hello} Hello */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {import("../tooltip.js").Tip} Tip */
/** @typedef {typeof import("../format.js")} Format */

/**
 * @param {import("./pick.js").Found} found
 * @param {Hello} hello with a feeder
 * @param {Frame | null} frame
 * @param {Format} format
 * @returns {Tip}
 */
export function feederTip({ kind, index }, hello, frame, format) {
  return { bus: busTip, branch: branchTip, link: linkTip }[kind](index, hello, frame, format);
}

/**
 * Whether a branch carries nothing, and why.
 * @param {number} k
 * @param {Hello} hello
 * @param {Pick<Frame, "branches" | "islanded"> | null} frame
 * @returns {"closed" | "open" | "cut off"}
 */
export function switched(k, hello, frame) {
  if (frame?.branches.open.includes(k)) return "open";
  return frame?.islanded && k === hello.feeder?.transformer ? "cut off" : "closed";
}

/**
 * Where a voltage lies, as a word.
 * @param {number | undefined} voltage p.u.
 * @param {[number, number]} band
 */
export function inBand(voltage, [low, high]) {
  if (voltage === undefined) return "–";
  if (voltage === 0) return "no supply";
  const rounding = 1e-6; // a voltage on the limit may be rounded to beyond it
  return voltage < low - rounding ? "too low" : voltage > high + rounding ? "too high" : "within";
}

/**
 * Powers between neighbours, kW, by `source>target`.
 * @param {Frame} frame
 */
export const flowsOf = (frame) => new Map(frame.energy_flows.map(({ source, target, power_kw }) => [`${source}>${target}`, power_kw]));

/**
 * What flows over a link, in words: it carries either way.
 * @param {number} k
 * @param {Hello} hello
 * @param {ReadonlyMap<string, number>} flows
 * @param {Format} format
 */
export function linkFlow(k, hello, flows, format) {
  const { source, target } = hello.links[k];
  for (const [from, to] of [[source, target], [target, source]]) {
    const power = flows.get(`${from}>${to}`);
    if (power !== undefined) return `${format.kw(power)} to ${nameOf(to, hello)}`;
  }
  return "nothing";
}

/** @type {WeakMap<Hello, Map<string, string>>} */
const names = new WeakMap();

/**
 * @param {string} id of a prosumer
 * @param {Hello} hello
 */
export function nameOf(id, hello) {
  let known = names.get(hello);
  if (!known) names.set(hello, (known = new Map(hello.agents.map((agent) => [agent.id, agent.name]))));
  return known.get(id) ?? id;
}

/** @param {number} k @param {Hello} hello @param {Frame | null} frame @param {Format} f @returns {Tip} */
function branchTip(k, hello, frame, f) {
  const { branches, buses } = /** @type {NonNullable<Hello["feeder"]>} */ (hello.feeder);
  const [rating, loading, state] = [branches.rating_kva[k], frame?.branches.loading[k], switched(k, hello, frame)];
  return {
    title: branches.name[k],
    what: `${branches.kind[k]} from ${buses.name[branches.source[k]]} to ${buses.name[branches.target[k]]}${state === "closed" ? "" : `; ${state}, it carries nothing`}`,
    rows: [
      ["Loading", rating === null ? "–" : f.percent(loading, 1)], ["Rating", rating === null ? "unlimited" : f.quantity(rating, "kVA", 0)],
      ["Carries, at nominal voltage", rating === null || loading === undefined ? "–" : f.quantity(loading * rating, "kVA", 1)],
    ],
  };
}

/** @param {number} i @param {Hello} hello @param {Frame | null} frame @param {Format} f @returns {Tip} */
function busTip(i, hello, frame, f) {
  const { buses, voltage_band_pu: band, slack } = /** @type {NonNullable<Hello["feeder"]>} */ (hello.feeder);
  const voltage = frame?.buses.voltage_pu[i];
  const here = hello.agents.filter(({ bus }) => bus === i).map(({ name }) => name);
  /** @type {[string, string][]} */
  const rows = [
    ["Voltage", f.pu(voltage)], ["That is", voltage === undefined ? "–" : f.quantity(voltage * buses.vn_kv[i], "kV", 3)],
    ["Allowed", `${f.number(band[0], 2)} to ${f.pu(band[1])}`], ["It is", inBand(voltage, band)],
  ];
  if (here.length) rows.push(["Prosumers", here.length > 3 ? `${here.slice(0, 3).join(", ")} and ${here.length - 3} more` : here.join(", ")]);
  return { title: buses.name[i], what: `bus of ${f.quantity(buses.vn_kv[i], "kV", 1)}${i === slack ? ", where the utility holds the voltage" : ""}`, rows };
}

/** @param {number} k @param {Hello} hello @param {Frame | null} frame @param {Format} f @returns {Tip} */
function linkTip(k, hello, frame, f) {
  const { source, target, rating_kw } = hello.links[k];
  return {
    title: `${nameOf(source, hello)} – ${nameOf(target, hello)}`, what: "neighbours that may share energy, either way",
    rows: [["Now", frame ? linkFlow(k, hello, flowsOf(frame), f) : "–"], ["Largest transfer", f.kw(rating_kw)]],
  };
}
