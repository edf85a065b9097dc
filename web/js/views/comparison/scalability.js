/** What the number of prosumers costs: time and reward on generated communities. */

import { field, h } from "../../dom.js";
import { Chart } from "../kit/chart.js";
import { explain } from "../kit/explain.js";
import { exportMenu } from "../kit/export.js";
import { clearFaults, named, numberOf, showFault } from "../kit/form.js";
import { scrolling } from "../kit/scrolling.js";
import { fixed } from "./kpis.js";
import { card } from "./result.js";

const CHARTS = [
  { title: "Time of a step", unit: "ms", logY: true, columns: [["step_ms", "median"], ["step_p95_ms", "95th percentile"], ["decision_ms", "decision"]] },
  { title: "Time of an episode", unit: "s", logY: true, columns: [["episode_s", "episode"], ["build_s", "building"]] },
  { title: "Throughput", unit: "agent-steps per second", logY: true, columns: [["agent_steps_per_s", "one community"]] },
  { title: "Reward of a prosumer", unit: "EUR-equivalents a step", logY: false, digits: 4, columns: [["reward", "mean"]] },
];
/** @type {[string, string, number, string][]} field, heading, decimals, what it is */
const COLUMNS = [
  ["num_agents", "Prosumers", 0, "Homes, villas, flats and shops in the proportions of suburb-40."], ["buses", "Buses", 0, "Of the feeder, which grows with the community."],
  ["links", "Links", 0, "Pairs of neighbours that may exchange energy."], ["build_s", "Build s", 2, "Time to make the community: profiles, feeder, observations."],
  ["step_ms", "Step ms", 2, "Median time of a step: market, batteries, AC power flow, rewards, observations."], ["step_p95_ms", "95 % ms", 2, "95 of 100 steps take no longer."],
  ["decision_ms", "Decision ms", 2, "Median time in which the policy decides for all prosumers."], ["episode_s", "Episode s", 2, "Wall time of an episode, decisions included."],
  ["agent_steps_per_s", "Agent-steps/s", 0, "Prosumers × steps a second of one community; batched, thousands of them step together."],
  ["reward", "Reward", 4, "Mean reward of a prosumer a step, EUR-equivalents."], ["cost_eur", "Bill EUR", 2, "Of an average prosumer for an episode; negative is earned."],
  ["stability", "Stability", 3, "Mean stability index, 0 to 1."],
];

/**
 * @param {import("../../types.d.ts").Context} context
 * @param {(job: any) => void} started
 */
export function scalabilityForm({ api }, started) {
  const sizes = h("input", { type: "text", value: "3, 5, 10, 50, 200", required: true, inputmode: "numeric" });
  const policy = h("select", {}, h("option", { value: "self-consumption", text: "self-consumption", selected: true }));
  const episodes = h("input", { type: "number", min: 1, max: 32, value: "1" });
  const days = h("input", { type: "number", min: 0.1, max: 31, step: "any", value: "1" });
  const links = h("input", { type: "number", min: 1, max: 16, value: "3" });
  const start = h("button", { class: "button primary", text: "Measure" });
  const form = h("form", { class: "stack-form", novalidate: true, onsubmit: submit },
    named("sizes", field("Numbers of prosumers", sizes, { hint: "up to 1500, separated by commas" })),
    named("policy", field("Policy", policy, { hint: "a rule fits every size" })),
    h("div", { class: "pair" }, named("episodes", field("Episodes", episodes)), named("days", field("Days each", days))),
    named("neighbours", field("Links to the nearest", links)), h("div", { class: "faults" }), start);

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    clearFaults(form);
    start.disabled = true;
    try {
      started(await api.post("api/scalability", {
        sizes: sizes.value.split(/[\s,;]+/).filter(Boolean).map(Number), policy: policy.value,
        episodes: numberOf(episodes), days: numberOf(days), neighbours: numberOf(links),
      }));
    } catch (error) {
      showFault(form, /** @type {any} */ (error));
    }
    start.disabled = false;
  }
  api.get("api/policies").then((/** @type {any[]} */ entries) => {
    const rules = entries.filter((entry) => entry.kind === "rule");
    policy.replaceChildren(...rules.map((entry) => h("option", { value: entry.name, text: entry.name, selected: entry.name === "self-consumption" })));
  }).catch(() => {}); // the default stays
  return form;
}

export class ScalabilityPanel {
  /** @param {import("../../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Chart[]} */
    this.charts = [];
    this.element = h("div", { class: "results" });
  }

  /**
   * @param {any} job
   * @param {any} result
   */
  show(job, result) {
    this.destroy();
    const { rows } = result;
    const size = rows.map((/** @type {any} */ row) => row.num_agents);
    this.charts = CHARTS.map(({ title, unit, logY, digits, columns }) => new Chart({
      title, unit, logY, ...(digits ? { format: (/** @type {number} */ v) => fixed(v, digits) } : {}), x: "log", xLabel: "prosumers", sync: "scalability", formatX: (x) => this.context.format.count(x, "prosumer"),
      lines: columns.map(([, label], k) => ({ label, token: `--series-${k + 1}`, dash: k ? [6, 4] : [], points: true })),
    }));
    const files = ["csv", "json"].map((format) => ({
      label: format.toUpperCase(), path: `api/scalability/${job.id}/export?format=${format}`, name: `scalability-${job.id}.${format}`,
    }));
    this.element.replaceChildren(
      card("Time and reward against the number of prosumers", [exportMenu(this.context.api, files)],
        h("div", { class: "chart-grid" }, this.charts.map((chart) => chart.element)),
        h("p", { class: "faint", text: `${result.policy}, one community of ${result.steps} steps, ${result.threads} CPU thread. Both axes are logarithmic where times are shown. Batched, thousands of communities step together: the throughput of training is far higher.` })),
      card("Numbers", [], scrolling(h("table", { class: "table" },
        h("thead", {}, h("tr", {}, COLUMNS.map(([, label, , text]) => h("th", { scope: "col", class: "right" }, explain(h("span", { text: label }), { title: label, text }))))),
        h("tbody", {}, rows.map((/** @type {any} */ row) => h("tr", {}, COLUMNS.map(([key, , digits]) => h("td", { class: "right num", text: fixed(row[key], digits) })))))))));
    this.charts.forEach((chart, k) => chart.set([size, ...CHARTS[k].columns.map(([key]) => rows.map((/** @type {any} */ row) => row[key]))]));
  }

  destroy() {
    this.charts.splice(0).forEach((chart) => chart.destroy());
  }
}
