/** The community in numbers: stability with its parts, powers, cost, emissions, prices, reward with its parts. */
import { h, setText } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { pick } from "../store.js";
import { explain } from "../tooltip.js";
import { spark } from "./spark.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").Metrics} Metrics */
/** @typedef {import("../types.d.ts").State} State */

const PARTS = /** @type {const} */ (["voltage", "loading", "balance", "reserve"]);
const REWARDS = /** @type {const} */ (["stability", "efficiency", "cost", "cooperation"]);

/**
 * @typedef {object} Tile
 * @property {string} key of EXPLAIN
 * @property {string} label
 * @property {string} unit
 * @property {string} color
 * @property {(m: Metrics) => number} value drawn as sparkline
 * @property {(m: Metrics) => string} text
 * @property {(m: Metrics) => string} [note]
 * @property {boolean} [zero]
 * @property {number} [low]
 * @property {number} [high]
 */

/**
 * @param {typeof import("../format.js")} format
 * @returns {Tile[]}
 */
const tiles = (format) => [
  { key: "generation", label: "Generation", unit: "kW", color: "var(--c-generation)", value: (m) => m.total_generation_kw, text: (m) => format.number(m.total_generation_kw, 1), zero: true,
    note: (m) => (m.curtailed_kw > 0.01 ? `${format.quantity(m.curtailed_kw, "kW")} wasted` : "solar") },
  { key: "demand", label: "Demand", unit: "kW", color: "var(--c-demand)", value: (m) => m.total_demand_kw, text: (m) => format.number(m.total_demand_kw, 1), zero: true,
    note: (m) => (m.unserved_kw > 0.01 ? `${format.quantity(m.unserved_kw, "kW")} unserved` : "all served") },
  { key: "import", label: "Import", unit: "kW", color: "var(--c-import)", value: (m) => m.import_kw, text: (m) => format.number(m.import_kw, 1), zero: true,
    note: (m) => format.price(m.import_price) },
  { key: "export", label: "Export", unit: "kW", color: "var(--c-export)", value: (m) => m.export_kw, text: (m) => format.number(m.export_kw, 1), zero: true,
    note: (m) => format.price(m.export_price) },
  { key: "transfers", label: "Neighbours", unit: "kW", color: "var(--c-transfer)", value: (m) => m.transfers_kw, text: (m) => format.number(m.transfers_kw, 1), zero: true,
    note: () => "shared" },
  { key: "battery", label: "Batteries", unit: "%", color: "var(--c-battery)", value: (m) => m.mean_energy, text: (m) => format.number(m.mean_energy * 100, 0), low: 0, high: 1,
    note: (m) => { const p = m.charge_kw - m.discharge_kw; return Math.abs(p) < 0.01 ? "idle" : `${p > 0 ? "take" : "give"} ${format.quantity(Math.abs(p), "kW")}`; } },
  { key: "cost", label: "Cost", unit: "EUR", color: "var(--c-cost)", value: (m) => m.cost_eur_total, text: (m) => format.number(m.cost_eur_total, Math.abs(m.cost_eur_total) >= 1000 ? 0 : 2),
    note: (m) => format.quantity(m.cost_eur_per_h, "EUR/h", 2, { signed: true }) },
  { key: "co2", label: "CO₂", unit: "kg", color: "var(--c-demand)", value: (m) => m.co2_kg_total, text: (m) => format.number(m.co2_kg_total, Math.abs(m.co2_kg_total) >= 1000 ? 0 : 1),
    note: (m) => format.quantity(m.co2_g_per_h / 1000, "kg/h", Math.abs(m.co2_g_per_h) >= 100_000 ? 0 : 2, { signed: true }) },
  { key: "price", label: "Price", unit: "EUR/kWh", color: "var(--c-import)", value: (m) => m.import_price, text: (m) => format.number(m.import_price, 2), zero: true,
    note: (m) => `sold: ${format.quantity(m.export_price, "EUR/kWh", 2)}` },
];

/**
 * @param {Context} context
 * @returns {{ node: HTMLElement, stop: () => void }}
 */
export function metrics({ store, format }) {
  const stability = stabilityTile(format);
  const reward = rewardTile(format);
  const others = tiles(format).map((tile) => numberTile(tile));
  const node = h("section", { class: "metrics", "aria-label": "Metrics of the community" },
    stability.node, ...others.map((tile) => tile.node), reward.node);
  const stop = store.subscribe(pick("frame", "history", "status"), (/** @type {any} */ part) => {
    const { frame, history, status } = /** @type {State} */ (part);
    if (!frame) {
      empty(node);
      return;
    }
    const recent = history.slice(-96);
    stability.update(frame.metrics, recent, status?.weights?.stability);
    reward.update(frame.metrics, status?.weights?.rewards);
    for (const tile of others) tile.update(frame.metrics, recent);
  });
  return { node, stop };
}

/**
 * No numbers: a run that has not taken a step yet does not show those of the one before.
 * @param {HTMLElement} node
 */
function empty(node) {
  for (const number of node.querySelectorAll(".num:not(.note)")) setText(number, "–");
  for (const note of node.querySelectorAll(".note")) setText(note, "");
  for (const word of node.querySelectorAll(".badge > :last-child")) setText(word, "–");
  for (const badge of node.querySelectorAll(".badge")) badge.className = "badge";
  for (const line of node.querySelectorAll(".spark path")) line.setAttribute("d", "");
  for (const bar of /** @type {NodeListOf<HTMLElement>} */ (node.querySelectorAll(".fill, .bar"))) bar.style.transform = "scaleX(0)";
}

/** @param {Tile} tile */
function numberTile(tile) {
  const value = h("span", { class: "value num", text: "–" });
  const note = h("span", { class: "note num" });
  const line = spark(tile.color, tile);
  const node = h("div", { class: "tile", dataset: { tile: tile.key } },
    h("span", { class: "label" }, h("i", { class: "key" }), tile.label),
    h("span", { class: "reading" }, value, h("span", { class: "unit", text: tile.unit })), note, line.node);
  /** @type {HTMLElement} */ (node.querySelector(".key")).style.background = tile.color;
  explain(node, EXPLAIN[tile.key]);
  return {
    node,
    /** @param {Metrics} m @param {readonly import("../types.d.ts").Sample[]} recent */
    update(m, recent) {
      setText(value, tile.text(m));
      setText(note, tile.note?.(m) ?? "");
      line.draw(recent.map((sample) => tile.value(sample.metrics)));
    },
  };
}

/**
 * A bar of length 1: each part has its weight as width and is filled to its value, so the filled length is S.
 * @param {typeof import("../format.js")} format
 */
function stabilityTile(format) {
  const value = h("span", { class: "value num", text: "–" });
  const word = h("span", { class: "badge" }, h("span", { class: "dot" }), h("span"));
  const rows = PARTS.map((name) => {
    const fill = h("span", { class: "fill" });
    const number = h("span", { class: "num", text: "–" });
    const segment = h("span", { class: "segment" }, fill);
    const row = h("div", { class: "part" }, h("i", { class: "key" }), h("span", { text: name }), number);
    for (const element of [fill, /** @type {HTMLElement} */ (row.firstElementChild)]) element.style.background = `var(--c-${name})`;
    explain(row, EXPLAIN[name]);
    return { name, fill, number, segment, row };
  });
  const meter = h("div", { class: "segments", role: "img" }, ...rows.map(({ segment }) => segment));
  const alarms = h("p", { class: "note" });
  const line = spark("var(--accent)", { low: 0, high: 1, zero: true });
  const node = h("div", { class: "tile stability" },
    h("div", { class: "head" }, h("span", { class: "label", text: "Stability" }), word), value, meter,
    h("div", { class: "parts" }, ...rows.map(({ row }) => row)), alarms, line.node);
  explain(/** @type {HTMLElement} */ (node.querySelector(".head")), EXPLAIN.stability);
  explain(value, EXPLAIN.stability);
  explain(alarms, EXPLAIN.network);
  return {
    node,
    /** @param {Metrics} m @param {State["history"]} recent @param {Record<string, number> | undefined} weights */
    update(m, recent, weights) {
      line.draw(recent.map(({ metrics }) => metrics.stability));
      const grade = format.grade(m.stability);
      setText(value, format.index(m.stability));
      setText(/** @type {HTMLElement} */ (word.lastElementChild), m.converged ? grade : "voltage collapse");
      word.className = `badge ${m.converged ? grade : "poor"}`;
      meter.setAttribute("aria-label", `Stability ${format.index(m.stability)}, ${grade}`);
      for (const { name, fill, number, segment } of rows) {
        segment.style.flexGrow = String(weights?.[name] ?? 0.25);
        fill.style.transform = `scaleX(${Math.max(0, Math.min(1, m[`stability_${name}`]))})`;
        setText(number, format.number(m[`stability_${name}`], 2));
      }
      const said = [`voltage ${format.number(m.min_voltage_pu, 3)} to ${format.number(m.max_voltage_pu, 3)} p.u.`, `loading to ${format.percent(m.max_loading)}`];
      if (m.violations) said.push(format.count(m.violations, "voltage violation"));
      if (m.overloads) said.push(format.count(m.overloads, "overload"));
      setText(alarms, said.join(" · "));
      alarms.classList.toggle("alarm", m.violations + m.overloads > 0);
    },
  };
}

/** @param {typeof import("../format.js")} format */
function rewardTile(format) {
  const value = h("span", { class: "value num", text: "–" });
  const rows = REWARDS.map((name) => {
    const bar = h("span", { class: "bar" });
    const number = h("span", { class: "num", text: "–" });
    const weight = h("span", { class: "faint weight" });
    const row = h("div", { class: "part" }, h("span", { text: name }), h("span", { class: "diverging" }, bar), number, weight);
    explain(row, EXPLAIN[`reward_${name}`]);
    return { name, bar, number, weight, row };
  });
  const node = h("div", { class: "tile reward" },
    h("div", { class: "head" }, h("span", { class: "label" }, "Mean reward", h("span", { class: "faint", text: "= Σ part × its weight" })), h("span", { class: "reading" }, value)),
    h("div", { class: "parts" }, ...rows.map(({ row }) => row)));
  explain(/** @type {HTMLElement} */ (node.querySelector(".head")), EXPLAIN.reward);
  return {
    node,
    /** @param {Metrics} m @param {Record<string, number> | undefined} weights */
    update(m, weights) {
      setText(value, format.number(m.mean_reward, 3, { signed: true }));
      for (const { name, bar, number, weight } of rows) {
        setText(weight, weights ? `× ${Number((weights[name] ?? 0).toFixed(2))}` : "");
        const x = m[`reward_${name}`];
        bar.style.transform = `scaleX(${Math.max(-1, Math.min(1, Math.cbrt(x)))})`;
        bar.classList.toggle("negative", x < 0);
        setText(number, format.number(x, 3, { signed: true }));
      }
    },
  };
}
