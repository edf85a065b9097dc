/** The scoreboard of one scenario: sortable, with intervals, and each policy against a reference. */

import { h, s } from "../../dom.js";
import { count } from "../../format.js";
import { explain } from "../kit/explain.js";
import { scrolling } from "../kit/scrolling.js";
import { fixed, KPIS } from "./kpis.js";
import { against, sorted, spared } from "./shape.js";

/**
 * @typedef {{key: string, direction: "ascending"|"descending"}} Order
 * @typedef {import("./shape.js").ScenarioResult} ScenarioResult
 */
const VERDICTS = {
  better: { sign: "▲", label: "better" },
  worse: { sign: "▼", label: "worse" },
  "no difference": { sign: "≈", label: "no significant difference" },
};

/**
 * @param {ScenarioResult} result
 * @param {string} reference policy the others are compared with
 * @param {Order} order
 * @param {(order: Order) => void} reorder
 * @param {boolean} all columns, those that are 0 throughout too
 * @param {(all: boolean) => void} show
 */
export function scoreboardTable(result, reference, order, reorder, all, show) {
  const rows = result.scoreboard.rows ?? [];
  const known = KPIS.filter((kpi) => rows.some((row) => kpi.value(row) !== null));
  const empty = spared(rows, known);
  const columns = all ? known : known.filter((kpi) => !empty.includes(kpi));
  const versus = (/** @type {string} */ name) => (name === reference ? null : against(result.pairs, name, reference));
  const value = order.key === "name" ? (/** @type {any} */ r) => r.name
    : order.key === "versus" ? (/** @type {any} */ r) => versus(r.name)?.cost
      : (/** @type {any} */ r) => KPIS.find((kpi) => kpi.key === order.key)?.value(r);
  const span = scoreSpan(rows);
  const heading = (/** @type {string} */ key, /** @type {Node|string} */ label, /** @type {"high"|"low"|"neither"} */ good, /** @type {any} */ about) => {
    const active = order.key === key;
    const next = active ? (order.direction === "ascending" ? "descending" : "ascending") : good !== "low" ? "descending" : "ascending";
    const button = h("button", { type: "button", onclick: () => reorder({ key, direction: next }) }, label, h("span", { class: "arrow", "aria-hidden": "true" }, active ? (order.direction === "ascending" ? " ↑" : " ↓") : ""));
    return h("th", { scope: "col", class: key === "name" ? "" : "right", "aria-sort": active ? order.direction : null, "data-key": key }, about ? explain(button, about) : button);
  };
  const table = scrolling(h("table", { class: "table scoreboard" },
    h("caption", { class: "sr-only" }, `Scoreboard of ${result.scenario}, ${count(result.seeds.length, "episode")} of ${count(result.days, "day")}`),
    h("thead", {}, h("tr", {},
      heading("name", "Policy", "low", null),
      columns.slice(0, 1).map((kpi) => heading(kpi.key, kpi.label, kpi.good, about(kpi))),
      heading("versus", h("span", {}, "Cost", h("small", {}, ` vs ${reference}`)), "low", {
        title: `Cost against ${reference}`, unit: "EUR per episode",
        text: "Mean difference on the same episodes with its 95 % interval (paired, by the weeks that episodes lie in). ▲ cheaper and ▼ dearer where the paired t-test, corrected for the number of pairs (Holm), has p < 0.05.",
        formula: "mean(J policy − J reference)",
      }),
      columns.slice(1).map((kpi) => heading(kpi.key, h("span", {}, kpi.label, kpi.unit ? h("small", {}, ` ${kpi.unit}`) : null), kpi.good, about(kpi))))),
    h("tbody", {}, sorted(rows, value, order.direction).map((row) => h("tr", { "data-policy": row.name },
      h("th", { scope: "row" }, row.name, h("small", { class: "faint" }, row.forecast ? ` sees ${row.forecast}` : ` ${row.kind}`), row.marks?.length ? explain(h("span", { class: "mark" }, "!"), { title: "Marked", text: row.marks.join("; ") }) : null),
      columns.slice(0, 1).map((kpi) => h("td", { class: "right num" }, whisker(row, span), fixed(kpi.value(row), kpi.digits))),
      versusCell(versus(row.name), row.name === reference),
      columns.slice(1).map((kpi) => explain(h("td", { class: "right num" }, fixed(kpi.value(row), kpi.digits)), { ...about(kpi), title: `${row.name}: ${kpi.label}`, text: `${ciText(row, kpi)}${kpi.what}` })))))));
  return h("div", {}, table, empty.length ? nothing(empty, all, show) : null);
}

/**
 * What none of the policies has, and a way to see the columns that say so.
 * @param {import("./kpis.js").Kpi[]} empty
 * @param {boolean} all
 * @param {(all: boolean) => void} show
 */
function nothing(empty, all, show) {
  const words = empty.map((kpi) => `no ${kpi.none}`);
  const said = words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0];
  return h("p", { class: "board-note faint" }, `${said.charAt(0).toUpperCase()}${said.slice(1)} under any of them. `,
    h("button", { type: "button", class: "link", "aria-expanded": String(all), text: all ? "Hide these columns" : `Show ${empty.length === 1 ? "this column" : "these columns"}`, onclick: () => show(!all) }));
}

/** @param {import("./kpis.js").Kpi} kpi */
const about = (kpi) => ({ title: kpi.label, unit: kpi.unit, text: `${kpi.what} ${{ high: "More is better.", low: "Less is better.", neither: "" }[kpi.good]}`.trim(), formula: kpi.formula });

/**
 * @param {import("./shape.js").Row} row
 * @param {import("./kpis.js").Kpi} kpi
 */
function ciText(row, kpi) {
  const ci = kpi.key === "cost_eur" ? row.cost_ci : row.kpi_ci?.[kpi.key];
  const scale = kpi.scale ?? 1;
  return ci ? `95 % interval ${fixed(ci[0] * scale, kpi.digits)} to ${fixed(ci[1] * scale, kpi.digits)} ${kpi.unit}. ` : "";
}

/**
 * @param {ReturnType<typeof against>} versus
 * @param {boolean} same
 */
function versusCell(versus, same) {
  if (same) return h("td", { class: "right faint" }, "reference");
  if (!versus) return h("td", { class: "right faint" }, "–");
  const verdict = VERDICTS[/** @type {keyof typeof VERDICTS} */ (versus.verdict)];
  const td = h("td", { class: `right num versus ${versus.verdict.replace(" ", "-")}` },
    h("span", { class: "verdict", "aria-label": verdict.label }, verdict.sign), ` ${versus.cost > 0 ? "+" : ""}${fixed(versus.cost, 2)}`);
  return explain(td, {
    title: verdict.label, unit: "EUR per episode",
    text: `${versus.costCi ? `95 % interval ${fixed(versus.costCi[0], 2)} to ${fixed(versus.costCi[1], 2)}; ` : ""}p = ${versus.p === null ? "n/a" : versus.p < 0.001 ? "< 0.001" : fixed(versus.p, 3)} (Holm), ${versus.episodes} episodes.`,
  });
}

/** @param {import("./shape.js").Row[]} rows */
function scoreSpan(rows) {
  const ends = rows.flatMap((row) => row.score_ci ?? (row.score === null ? [] : [row.score]));
  return [Math.max(-1, Math.min(0, ...ends)), Math.max(1, ...ends)];
}

/**
 * Score and interval on a common axis from the worst to 1.
 * @param {import("./shape.js").Row} row
 * @param {number[]} span
 */
function whisker(row, [low, high]) {
  if (row.score === null) return null;
  const x = (/** @type {number} */ v) => 3 + (74 * (Math.min(Math.max(v, low), high) - low)) / (high - low);
  const [a, b] = row.score_ci ?? [row.score, row.score];
  return s("svg", { class: "whisker", viewBox: "0 0 80 16", width: 80, height: 16, "aria-hidden": "true" },
    s("line", { class: "axis", x1: x(0), x2: x(0), y1: 1, y2: 15 }), s("line", { class: "axis", x1: x(1), x2: x(1), y1: 1, y2: 15 }),
    s("line", { class: "bar", x1: x(a), x2: x(b), y1: 8, y2: 8 }), s("circle", { cx: x(row.score), cy: 8, r: 3.5 }));
}
