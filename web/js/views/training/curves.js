/** Learning curves of a run. */

import { h } from "../../dom.js";
import { Chart } from "../kit/chart.js";
import { lineStyle } from "../kit/style.js";
import { column, PARTS, smooth, thinned } from "./columns.js";

/** @typedef {import("./columns.js").MetricRow} MetricRow */
const POINTS = 1200;

/** @param {number} x */
const minutes = (x) => `${x.toFixed(1)} min`;
/** @param {number} digits */
const digits = (digits) => (/** @type {number} */ v) => v.toFixed(digits).replace("-", "−");
/** @param {number} v */
const short = (v) => (Math.abs(v) >= 1e6 ? `${(v / 1e6).toFixed(1)} M` : Math.abs(v) >= 1e3 ? `${Math.round(v / 1e3)} k` : String(Math.round(v)));

export class Curves {
  /**
   * @param {string} by "all" prosumers or their "mean"
   * @param {(by: string) => void} changed
   */
  constructor(by, changed) {
    const common = { x: /** @type {const} */ ("number"), sync: "training", formatX: minutes, lines: [] };
    this.score = new Chart({ ...common, title: "Validation score", unit: "on validation weeks; dashed: references, of a scoreboard on test weeks", height: 260, xLabel: "minutes of training", format: digits(3) });
    this.agents = new Chart({ ...common, title: "Reward by prosumer", unit: "EUR-equivalents a step", format: digits(3), height: 150 });
    this.cost = new Chart({ ...common, title: "Cost in validation, less stored energy", unit: "EUR per episode", format: digits(1), height: 150 });
    this.parts = PARTS.map((part) => new Chart({ ...common, title: `Reward: ${part}`, unit: "before weighting", format: digits(4), height: 150 }));
    this.rate = new Chart({ ...common, title: "Throughput", unit: "agent-steps per second", format: short, zero: true, height: 150 });
    this.loss = new Chart({ ...common, title: "Losses", unit: "", format: digits(3), height: 150 });
    this.charts = [this.score, this.agents, this.cost, ...this.parts, this.rate, this.loss];
    this.by = h("select", { class: "input", "aria-label": "Reward parts of", onchange: () => {
      changed(this.by.value);
      this.draw();
    } }, h("option", { value: "all", text: "all prosumers" }), h("option", { value: "mean", text: "their mean", selected: by === "mean" }));
    this.element = h("div", { class: "curves" },
      h("section", { class: "card" }, h("div", { class: "body pad" }, this.score.element)),
      h("section", { class: "card" }, h("header", {}, h("h2", { text: "Rewards" }), h("label", { class: "inline-choice push" }, h("span", { class: "muted", text: "Show" }), this.by)),
        h("div", { class: "body" }, h("div", { class: "chart-grid dense" }, this.agents.element, ...this.parts.map((chart) => chart.element)))),
      h("section", { class: "card" }, h("header", {}, h("h2", { text: "Training" })), h("div", { class: "body" }, h("div", { class: "chart-grid dense" }, this.cost.element, this.rate.element, this.loss.element))));
    /** @type {MetricRow[]} */
    this.rows = [];
    /** @type {string[]} */
    this.names = [];
    /** @type {Record<string, number>} */
    this.weights = {};
    /** @type {{y: number, label: string, token: string}[]} */
    this.levels = [];
  }

  /**
   * @param {MetricRow[]} rows
   * @param {string[]} names of the prosumers
   * @param {Record<string, number>} weights of the reward parts
   * @param {{y: number, label: string, token: string}[]} levels baselines of the score
   */
  show(rows, names, weights, levels) {
    Object.assign(this, { rows: thinned(rows, POINTS), names, weights, levels });
    this.draw();
  }

  draw() {
    const { rows, names, weights, levels } = this;
    const time = rows.map((row) => row.seconds / 60);
    const validated = rows.filter((row) => typeof row.validation_score === "number");
    const when = validated.map((row) => row.seconds / 60);
    this.score.set([when, column(validated, "validation_score")], [{ label: "score", token: "--series-1", width: 2.2, points: true }], levels);
    this.cost.set([when, column(validated, "validation_cost_eur")], [{ label: "bill", token: "--series-4", points: true }]);
    const single = this.by.value === "mean" || names.length > 12;
    const lines = single ? [{ label: "mean", ...lineStyle(0) }] : names.map((name, k) => ({ label: name, ...lineStyle(k) }));
    const width = Math.max(1, Math.round(rows.length / 50));
    const of = (/** @type {string} */ key) => lines.map((_, k) => smooth(column(rows, key, single ? null : k), width));
    PARTS.forEach((part, k) => {
      const columns = of(`reward_${part}`);
      const same = columns.length > 1 && columns[0].every((value, row) => columns.every((other) => other[row] === value)); // of the community
      this.parts[k].set([time, ...(same ? [columns[0]] : columns)], same ? [{ label: "the same for all", token: "--series-1" }] : lines);
    });
    const parts = PARTS.map((part) => lines.map((_, k) => column(rows, `reward_${part}`, single ? null : k)));
    const total = lines.map((_, k) => smooth(rows.map((_, row) => PARTS.reduce((/** @type {number|null} */ sum, part, p) => {
      const value = parts[p][k][row];
      return sum === null || value === null ? null : sum + value * (weights[part] ?? 1);
    }, 0)), width));
    this.agents.set([time, ...total], lines);
    this.rate.set([time, smooth(column(rows, "agent_steps_per_s"), width)], [{ label: "agent-steps/s", token: "--series-3" }]);
    const losses = Object.keys(rows[0] ?? {}).filter((key) => key.startsWith("loss_") || key === "kl_approx");
    this.loss.set([time, ...losses.map((key) => smooth(column(rows, key), width))], losses.map((key, k) => ({ label: key.replace("loss_", "").replaceAll("_", " "), ...lineStyle(k) })));
  }

  destroy() {
    this.charts.forEach((chart) => chart.destroy());
  }
}
