/** Policies by scenarios: one score a cell, colour and number and confidence interval. */

import { h } from "../../dom.js";
import { explain } from "../kit/explain.js";
import { scrolling } from "../kit/scrolling.js";
import { fixed, KPIS } from "./kpis.js";
import { matrix } from "./shape.js";

/**
 * @param {import("./shape.js").ScenarioResult[]} scenarios
 * @param {string[]} policies
 * @param {string} chosen scenario shown below
 * @param {(scenario: string) => void} choose
 */
export function matrixTable(scenarios, policies, chosen, choose) {
  const cells = matrix(scenarios, policies);
  const head = scenarios.map((result) =>
    h("th", { scope: "col", class: "right" },
      h("button", { type: "button", class: "matrix-pick", "aria-pressed": String(result.scenario === chosen), onclick: () => choose(result.scenario) }, result.scenario)),
  );
  return scrolling(
    h("table", { class: "table matrix" },
      h("caption", { class: "sr-only" }, "Score of each policy in each scenario, with its 95 % confidence interval"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Policy"), head)),
      h("tbody", {}, cells.map((row, k) => h("tr", {}, h("th", { scope: "row" }, policies[k]), row.map((cell) => scoreCell(cell, cell.scenario === chosen)))))));
}

/**
 * @param {import("./shape.js").Cell} cell
 * @param {boolean} chosen
 */
function scoreCell(cell, chosen) {
  const { row, reason } = cell;
  if (!row) {
    const why = h("td", { class: "right faint" }, reason ? "does not fit" : "–");
    return reason ? explain(why, { title: `${cell.policy} on ${cell.scenario}`, text: reason }) : why;
  }
  const score = row.score;
  const strength = score === null ? 0 : Math.min(Math.abs(score), 1);
  const td = h("td", {
    class: `right score ${score !== null && score < 0 ? "negative" : ""} ${chosen ? "chosen" : ""}`, vars: { "--v": `${Math.round(strength * 50)}%` },
  }, h("span", { class: "value num" }, fixed(score, 3)),
  h("span", { class: "ci num" }, row.score_ci ? `${fixed(row.score_ci[0], 2)} … ${fixed(row.score_ci[1], 2)}` : ""),
  row.marks?.length ? h("span", { class: "mark", "aria-label": row.marks.join(", ") }, "!") : null);
  return explain(td, {
    title: `${cell.policy} on ${cell.scenario}`,
    text: [KPIS[0].what, row.score_ci ? "The smaller numbers are its 95 % confidence interval (by the weeks of the data that episodes lie in)." : "", row.marks?.length ? `Marked: ${row.marks.join("; ")}.` : ""].join(" "),
    formula: KPIS[0].formula,
  });
}
