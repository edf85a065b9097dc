/** Time series of the policies side by side, their cursors linked. */

import { Chart } from "../kit/chart.js";
import { h } from "../../dom.js";
import { lineStyle } from "../kit/style.js";
import { fixed } from "./kpis.js";
import { aligned, cumulative } from "./shape.js";

/** @type {{key: string, label: string, unit: string, digits: number, running?: boolean}[]} */
export const QUANTITIES = [
  { key: "slack_kw", label: "Drawn from the utility", unit: "kW", digits: 1 },
  { key: "soc_kwh", label: "Energy in batteries", unit: "kWh", digits: 1 },
  { key: "cost_eur", label: "Bill so far", unit: "EUR", digits: 2, running: true },
  { key: "stability", label: "Stability", unit: "", digits: 3 },
  { key: "received_kw", label: "Transfers between neighbours", unit: "kW", digits: 1 },
  { key: "sold_kw", label: "Sold to the utility", unit: "kW", digits: 1 },
  { key: "unserved_kw", label: "Demand not met", unit: "kW", digits: 2 },
  { key: "max_loading", label: "Highest branch loading", unit: "of rating", digits: 2 },
  { key: "min_voltage_pu", label: "Lowest voltage", unit: "p.u.", digits: 3 },
  { key: "loss_kw", label: "Losses", unit: "kW", digits: 2 },
  { key: "reward", label: "Mean reward", unit: "EUR-equivalents", digits: 3 },
];

export class SeriesPanel {
  /** @param {(chosen: string[]) => void} changed which quantities are shown */
  constructor(changed) {
    this.changed = changed;
    /** @type {Set<string>} */
    this.chosen = new Set(QUANTITIES.slice(0, 4).map((q) => q.key));
    /** @type {Chart[]} */
    this.charts = [];
    this.grid = h("div", { class: "chart-grid" });
    this.picker = h("div", { class: "chips", role: "group", "aria-label": "Quantities" });
    this.note = h("p", { class: "faint" });
    this.element = h("div", { class: "series-panel" }, this.picker, this.grid, this.note);
    /** @type {any} */
    this.series = null;
    /** @type {string[]} */
    this.names = [];
  }

  /**
   * @param {any} series of `ScenarioResult`
   * @param {string[]} names policies in the order of their colours
   * @param {string[]|null} chosen keys of the quantities; null: those that are
   */
  show(series, names, chosen) {
    if (chosen) this.chosen = new Set(chosen);
    this.series = series;
    this.names = names;
    this.note.textContent = `The episode of seed ${series.seed}, which begins ${series.start.slice(0, 10)}. Drag over a chart to zoom in, double-click to see all.`;
    this.picker.replaceChildren(...QUANTITIES.map((q) => h("button", {
      type: "button", class: "chip", "aria-pressed": String(this.chosen.has(q.key)),
      onclick: (/** @type {any} */ event) => {
        this.chosen.has(q.key) ? this.chosen.delete(q.key) : this.chosen.add(q.key);
        event.currentTarget.setAttribute("aria-pressed", String(this.chosen.has(q.key)));
        this.changed([...this.chosen]);
        this.draw();
      },
    }, q.label)));
    this.draw();
  }

  draw() {
    this.destroy();
    const shown = this.names.map((name, k) => ({ name, ...lineStyle(k) })).filter((line) => this.series.policies[line.name]);
    for (const q of QUANTITIES.filter((item) => this.chosen.has(item.key))) {
      const chart = new Chart({ title: q.label, unit: q.unit, sync: "comparison", format: (v) => fixed(v, q.digits), lines: [] });
      this.charts.push(chart);
      this.grid.append(chart.element);
      const [times, ...values] = aligned(this.series, q.key, shown.map((line) => line.name));
      chart.set([times, ...(q.running ? values.map(cumulative) : values)], shown.map(({ name, token, dash }) => ({ label: name, token, dash })));
    }
  }

  destroy() {
    this.charts.splice(0).forEach((chart) => chart.destroy());
    this.grid.replaceChildren();
  }
}
