/** A comparison's result: matrix, scoreboard, wheel, series, days of one scenario. */

import { h } from "../../dom.js";
import { count } from "../../format.js";
import { exportMenu } from "../kit/export.js";
import { dailyTable } from "./daily.js";
import { matrixTable } from "./matrix.js";
import { radar, telling } from "./radar.js";
import { scoreboardTable } from "./scoreboard.js";
import { SeriesPanel } from "./series.js";

/** @typedef {import("./shape.js").ScenarioResult} ScenarioResult */

/**
 * @param {string} title
 * @param {(Node|null|false)[]} end of its header
 * @param {...Node} body
 */
export function card(title, end, ...body) {
  return h("section", { class: "card" }, h("header", {}, h("h2", { text: title }), h("div", { class: "push button-row" }, ...end)), h("div", { class: "body" }, ...body));
}

/**
 * @param {string} label
 * @param {string[]} names
 * @param {string} chosen
 * @param {(name: string) => void} choose
 */
function choice(label, names, chosen, choose) {
  return h("label", { class: "inline-choice" }, h("span", { class: "muted", text: label }),
    h("select", { class: "input", onchange: (/** @type {any} */ event) => choose(event.target.value) },
      ...names.map((name) => h("option", { value: name, text: name, selected: name === chosen }))));
}

export class ResultPanel {
  /**
   * @param {import("../../types.d.ts").Context} context
   * @param {(change: Record<string, string|null>) => void} remember puts choices into the URL
   */
  constructor(context, remember) {
    this.context = context;
    this.remember = remember;
    this.series = new SeriesPanel((chosen) => remember({ series: chosen.join() }));
    this.before = "";
    this.element = h("div", { class: "results" });
    /** @type {any} */
    this.job = null;
  }

  /**
   * @param {any} job
   * @param {{scenarios: ScenarioResult[]}} result
   * @param {Record<string, string>} params of the URL
   */
  show(job, result, params) {
    this.job = job;
    this.result = result;
    this.policies = /** @type {string[]} */ (job.request.policies);
    this.before = "";
    this.choose(params);
  }

  /**
   * What the URL says is drawn where it is not what is there; which quantities, wheel and days are open is remembered
   * there, too, but they draw themselves.
   * @param {Record<string, string>} params
   */
  choose(params) {
    const now = ["scenario", "reference", "policy", "sort", "order", "columns"].map((name) => params[name]).join("|");
    if (now === this.before) return;
    this.before = now;
    this.draw(params);
  }

  /** @param {Record<string, string>} params */
  draw(params) {
    const { scenarios } = /** @type {{scenarios: ScenarioResult[]}} */ (this.result);
    const result = scenarios.find((item) => item.scenario === params.scenario) ?? scenarios[0];
    const rows = (result.scoreboard.rows ?? []).filter((row) => this.policies?.includes(row.name));
    const names = this.policies?.filter((name) => rows.some((row) => row.name === name)) ?? [];
    this.reference = names.includes(params.reference) ? params.reference : (names.find((name) => rows.some((row) => row.name === name && row.kind === "rule")) ?? names[0]);
    this.daily = names.includes(params.policy) ? params.policy : names[0];
    const draw = { matrix: h("div"), board: h("div"), wheel: h("div"), days: h("div") };
    const shown = new Set(params.wheel === undefined ? telling(rows) : params.wheel.split(",").filter((name) => names.includes(name)));
    const open = new Set((params.days ?? "0").split(",").filter(Boolean).map(Number));
    /** @type {import("./scoreboard.js").Order} */
    const order = { key: params.sort ?? "score", direction: params.order === "ascending" ? "ascending" : "descending" };
    const drawBoard = () => draw.board.replaceChildren(scoreboardTable(result, this.reference ?? "", order, ({ key, direction }) => {
      this.remember({ sort: key, order: direction });
      /** @type {HTMLElement|null} */ (this.element.querySelector(`th[data-key="${key}"] button`))?.focus();
    }, params.columns === "all", (all) => {
      this.remember({ columns: all ? "all" : null });
      /** @type {HTMLElement|null} */ (this.element.querySelector(".board-note button"))?.focus();
    }));
    const drawWheel = () => draw.wheel.replaceChildren(radar(rows, this.policies ?? [], shown, () => {
      this.remember({ wheel: [...shown].join() });
      drawWheel();
    }));
    const drawDays = () => draw.days.replaceChildren(dailyTable(result.daily, this.daily ?? "", open, () => this.remember({ days: [...open].sort((a, b) => a - b).join() })));
    draw.matrix.append(matrixTable(scenarios, this.policies ?? [], result.scenario, (scenario) => this.remember({ scenario })));
    const about = `${count(result.seeds.length, "episode")} of ${count(result.days, "day")}`;
    const matrix = card("Scores by policy and scenario", this.exports(), draw.matrix,
      h("p", { class: "faint", text: "0 is a community without batteries and transfers, 1 the best that was physically possible. Small: 95 % interval. Choose a scenario to see it below." }));
    const wheel = card("Strengths and weaknesses", [h("span", { class: "aside", text: result.scenario })], draw.wheel,
      h("p", { class: "faint", text: "Rim: the best of the compared; centre: the worst. Less peak, ramping, CO₂ and inequality is better." }));
    this.element.replaceChildren(
      names.length ? h("div", { class: scenarios.length > 4 ? "results" : "two-cards even" }, matrix, wheel) : matrix,
      names.length ? card(`Scoreboard of ${result.scenario}`, [h("span", { class: "aside", text: about }),
        choice("Compared with", names, this.reference ?? "", (reference) => this.remember({ reference }))], draw.board) : h("div"),
      names.length ? card("Side by side", [], this.series.element) : h("div"),
      names.length ? card("Days", [choice("Policy", names, this.daily ?? "", (policy) => this.remember({ policy }))], draw.days) : h("div"));
    if (!names.length) return;
    drawBoard();
    drawWheel();
    drawDays();
    this.series.show(result.series, this.policies ?? [], params.series?.split(",") ?? null);
  }

  exports() {
    const id = this.job.id;
    const tables = { scoreboard: "Scoreboard", pairs: "Pairs with significance", costs: "Costs by episode", daily: "Days and prosumers", series: "Time series" };
    return [exportMenu(this.context.api, [
      ...Object.entries(tables).map(([table, label]) => ({ label: `${label}, CSV`, path: `api/comparisons/${id}/export?format=csv&table=${table}`, name: `comparison-${id}-${table}.csv` })),
      { label: "Everything, JSON", path: `api/comparisons/${id}/export?format=json`, name: `comparison-${id}.json` },
    ])];
  }

  destroy() {
    this.series.destroy();
  }
}
