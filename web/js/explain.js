/** What every number is: unit, meaning, formula. The formulas are those of smartgrid_core; tooltips and help show them. */

/** @typedef {import("./tooltip.js").Tip} Tip */

/** @type {Record<string, Tip>} */
export const EXPLAIN = {
  stability: {
    title: "Stability S, 0 to 1", what: "How comfortably the network carries the community. Above 0.8 good, 0.6 to 0.8 fair, below poor.",
    formula: "S = w₁·voltage + w₂·loading + w₃·balance + w₄·reserve, weights .4, .3, .2, .1 unless changed",
  },
  voltage: { title: "Voltage part", what: "How near the voltages are to nominal. 0 when the power flow has no solution.", formula: "1 − mean over live buses of clamp(|V − 1| / 0.1, 0, 1)" },
  loading: { title: "Loading part", what: "Falls once a branch is loaded beyond 80 % of its rating.", formula: "1 − clamp((max loading − 0.8) / 0.4, 0, 1)" },
  balance: { title: "Balance part", what: "Energy that went unplanned, unserved or was thrown away.", formula: "1 − clamp(Σ(unserved + curtailed + |imbalance|) / (Σ demand + Σ generation), 0, 1)" },
  reserve: { title: "Reserve part", what: "Batteries neither nearly empty nor nearly full can help in both directions.", formula: "mean over batteries of min(1, SoC / 0.1, (1 − SoC) / 0.1)" },
  generation: { title: "Generation, kW", what: "Solar power of all prosumers, mean over the step.", formula: "Σ generation" },
  demand: { title: "Demand, kW", what: "What all prosumers consume, mean over the step.", formula: "Σ demand" },
  import: { title: "Import, kW", what: "Bought from the utility, shortfall included.", formula: "Σ bought" },
  export: { title: "Export, kW", what: "Sold to the utility, excess included.", formula: "Σ sold" },
  transfers: { title: "Between neighbours, kW", what: "Energy that prosumers gave each other. Both have to agree.", formula: "Σ received = Σ sent" },
  battery: { title: "Batteries, mean state of charge", what: "Energy in the batteries as a fraction of capacity.", formula: "mean of SoC / capacity" },
  cost: { title: "Cost of the community, EUR", what: "All bills since the run began or was reset; negative is earned. Beside it the rate now.", formula: "Σ (bought·import price − sold·export price + imbalance + losses + unserved·value of lost load)" },
  co2: { title: "CO₂, kg", what: "Emissions of what the utility delivers, since the run began. Beside it the rate now.", formula: "max(power at the reference bus, 0) · intensity of the hour" },
  price: { title: "Prices, EUR/kWh", what: "What a kWh costs from the utility, and what it pays for one. Neighbours settle at the mean of the two." },
  reward: { title: "Mean reward, EUR-equivalents a step", what: "What the policies learn from; the mean over prosumers. The bars are the parts before weighting; their length is the cube root, so that small ones are seen.", formula: "w·stability + w·efficiency + w·cost + w·cooperation, weights .1, .1, 1, .1 unless changed" },
  reward_stability: { title: "Stability reward", what: "The same for everybody; 0 at best.", formula: "S − 1" },
  reward_efficiency: { title: "Efficiency reward", what: "Energy the prosumer wasted.", formula: "−(loss share + battery conversion + curtailed) · import price · hours" },
  reward_cost: { title: "Cost reward", what: "The prosumer's own bill.", formula: "−cost" },
  reward_cooperation: { title: "Cooperation reward", what: "Energy that helped a neighbour in need; going in circles or buying to forward earns nothing.", formula: "min(net received, (demand − generation − dischargeable)⁺) of the receivers · import price · hours, credited to net senders" },
  soc: { title: "State of charge", what: "Energy in the battery after the step; the ring in the grid view.", formula: "SoC / capacity" },
  net: { title: "Net power, kW", what: "What comes to the prosumer from outside: positive brings energy in.", formula: "bought + received − sold − sent" },
  trade: { title: "Trade with the utility, kW", what: "Positive buys, negative sells.", formula: "bought − sold" },
  neighbours: { title: "From neighbours, kW", what: "Positive receives, negative sends.", formula: "received − sent" },
  battery_kw: { title: "Battery power, kW", what: "Positive charges, negative discharges; at the meter side.", formula: "charge − discharge" },
  voltage_pu: { title: "Voltage, p.u.", what: "At the prosumer's bus; 1 is nominal, 0.9 to 1.1 is allowed (EN 50160), 0 is without supply." },
  agent_cost: { title: "Cost lately, EUR", what: "Bills of the steps this page knows: since it was opened, and of up to two days before; negative is earned.", formula: "Σ cost of the step" },
  agent_reward: { title: "Reward of the step", what: "Weighted sum of the prosumer's four reward parts, EUR-equivalents." },
  unserved: { title: "Unserved, kW", what: "Demand that could not be met.", formula: "Σ unserved" },
};
