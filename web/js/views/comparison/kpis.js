/**
 * Columns of the scoreboard: what each number is, its unit, which way is good. Where all of a column is 0, a sentence
 * says what there is `none` of instead.
 *
 * @typedef {import("./shape.js").Row} Row
 * @typedef {{key: string, label: string, unit: string, digits: number, good: "high"|"low"|"neither", what: string,
 *   formula?: string, scale?: number, none?: string, value: (row: Row) => number|null|undefined}} Kpi
 */

/**
 * @param {Omit<Kpi, "value">} kpi
 * @returns {Kpi}
 */
const of = (kpi) => ({ ...kpi, value: (row) => (row.kpis[kpi.key] == null ? null : Number(row.kpis[kpi.key]) * (kpi.scale ?? 1)) });

/** @type {Kpi[]} */
export const KPIS = [
  { key: "score", label: "Score", unit: "", digits: 3, good: "high", value: (row) => row.score,
    what: "Share of the possible saving that was made: 0 is a community without batteries and transfers, 1 the best that was physically possible.",
    formula: "(mean J grid-only − mean J policy) / (mean J grid-only − mean J optimum)" },
  { key: "cost_eur", label: "Cost", unit: "EUR", digits: 2, good: "low", value: (row) => row.cost_eur,
    what: "Mean bill of the community in an episode, energy left in the batteries counted at its value.",
    formula: "J = Σ bills − v · (SoC end − SoC start)" },
  of({ key: "stability", label: "Stability", unit: "", digits: 3, good: "high", what: "Mean stability index, 0 to 1.", formula: ".4 voltage + .3 loading + .2 balance + .1 reserve" }),
  of({ key: "voltage_violation_h", label: "Voltage", unit: "h", digits: 2, none: "voltage outside its band", good: "low", what: "Hours in an episode with a bus outside the voltage band." }),
  of({ key: "overload_h", label: "Overload", unit: "h", digits: 2, none: "overloaded branch", good: "low", what: "Hours in an episode with a branch above its rating." }),
  of({ key: "unserved_kwh", label: "Unserved", unit: "kWh", digits: 2, none: "unserved demand", good: "low", what: "Demand that was not met in an episode." }),
  of({ key: "peak_kw", label: "Peak", unit: "kW", digits: 1, good: "low", what: "Highest power drawn from the utility in an episode." }),
  of({ key: "ramping_kw", label: "Ramping", unit: "kW", digits: 2, good: "low", what: "Mean change of the power drawn from the utility between two steps." }),
  of({ key: "self_consumption", label: "Self-consumption", unit: "%", digits: 1, scale: 100, good: "high", what: "Part of the solar energy that the community used itself." }),
  of({ key: "self_sufficiency", label: "Self-sufficiency", unit: "%", digits: 1, scale: 100, good: "high", what: "Part of the demand that was met without the utility." }),
  of({ key: "co2_kg", label: "CO₂", unit: "kg", digits: 1, good: "low", what: "Emissions of the energy imported in an episode." }),
  of({ key: "gini_benefit", label: "Gini", unit: "", digits: 3, good: "low", what: "How unevenly the saving falls on the prosumers: 0 all alike, 1 all to one." }),
  of({ key: "transferred_kwh", label: "Transferred", unit: "kWh", digits: 0, good: "neither", what: "Energy that prosumers sent each other in an episode." }),
  of({ key: "losses_kwh", label: "Losses", unit: "kWh", digits: 1, good: "low", what: "Energy lost in cables and transformer in an episode." }),
  of({ key: "decision_us", label: "Decision", unit: "µs", digits: 0, good: "low", what: "Time a decision for all prosumers takes, by one thread." }),
];

/** The wheel's axes. */
export const WHEEL = ["score", "stability", "self_consumption", "self_sufficiency", "peak_kw", "ramping_kw", "co2_kg", "gini_benefit"]
  .map((key) => /** @type {Kpi} */ (KPIS.find((kpi) => kpi.key === key)));

/**
 * @param {number|null|undefined} value
 * @param {number} digits
 */
export function fixed(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
  const text = Math.abs(value) < 0.5 * 10 ** -digits ? (0).toFixed(digits) : value.toFixed(digits);
  const [whole, part] = text.split(".");
  return (part === undefined ? [grouped(whole)] : [grouped(whole), part]).join(".").replace("-", "−");
}

/** @param {string} whole */
const grouped = (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ",");
