/** Time series of the last frames in uPlot: drag to zoom, double-click for all. */
import { h } from "../dom.js";
import { palette } from "../status.js";
import { pick } from "../store.js";
import { CHART_KEYS, chartKeys } from "../views/kit/chartkeys.js";
import * as format from "../format.js";
import { chartFont } from "../views/kit/style.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").Metrics} Metrics */
/** @typedef {import("../types.d.ts").Sample} Sample */
/** @typedef {{ label: string, color: string, value: (m: Metrics) => number, dash?: number[], step?: boolean, down?: boolean }} Series `down`: drawn below zero */

/** `digits`: those of the same numbers in the tiles.
 * @type {Record<string, { label: string, unit: string, digits: number, range?: [number, number], series: Series[] }>} */
export const CHARTS = {
  power: {
    label: "Power", unit: "kW", digits: 1, series: [
      { label: "Generation", color: "c-generation", value: (m) => m.total_generation_kw },
      { label: "Demand", color: "c-demand", value: (m) => m.total_demand_kw },
      { label: "Import", color: "c-import", value: (m) => m.import_kw },
      { label: "Export (downwards)", color: "c-export", value: (m) => m.export_kw, down: true },
      { label: "Neighbours", color: "c-transfer", value: (m) => m.transfers_kw, dash: [4, 3] },
      { label: "Battery", color: "c-battery", value: (m) => m.charge_kw - m.discharge_kw, dash: [7, 3] },
    ],
  },
  stability: {
    label: "Stability", unit: "", digits: 3, range: [0, 1.02], series: [
      { label: "Stability", color: "text", value: (m) => m.stability },
      { label: "Voltage", color: "c-voltage", value: (m) => m.stability_voltage },
      { label: "Loading", color: "c-loading", value: (m) => m.stability_loading, dash: [7, 3] },
      { label: "Balance", color: "c-balance", value: (m) => m.stability_balance },
      { label: "Reserve", color: "c-reserve", value: (m) => m.stability_reserve, dash: [4, 3] },
    ],
  },
  price: {
    label: "Prices", unit: "EUR/kWh", digits: 3, series: [
      { label: "Import", color: "c-import", value: (m) => m.import_price, step: true },
      { label: "Export", color: "c-export", value: (m) => m.export_price, step: true },
    ],
  },
  cost: {
    label: "Cost", unit: "EUR", digits: 2, series: [
      { label: "So far", color: "text", value: (m) => m.cost_eur_total },
      { label: "Per hour", color: "c-import", value: (m) => m.cost_eur_per_h, dash: [4, 3] },
    ],
  },
};

const SIDES = 12; // px of padding left and right of the plot

/** @param {Context} context */
export function charts(context) {
  const { store, router } = context;
  const tabs = Object.entries(CHARTS).map(([name, { label }]) => h("button", {
    type: "button", role: "tab", text: label, id: `chart-${name}`, "aria-controls": "chart", onclick: () => router.set({ chart: name === "power" ? null : name }),
  }));
  const place = h("div", { class: "plot", id: "chart", role: "tabpanel" });
  const unit = h("span", { class: "faint" });
  const whole = h("button", { class: "button quiet", type: "button", text: "Show all", hidden: true, onclick: () => zoomTo(false) });
  const node = h("section", { class: "card charts", "aria-label": "Time series" },
    h("header", {}, h("div", { class: "tabs", role: "tablist", "aria-label": "Time series" }, ...tabs), h("span", { class: "push" }), unit, whole), place);
  let shown = "power";
  let zoomed = false;
  /** @type {Sample | undefined} */
  let newestKnown;
  /** @type {import("uplot") | null} */
  let plot = null;

  chartKeys(place, () => plot, {
    zoomed: (is) => zoomTo(is),
    say: (k) => {
      const sample = store.get().history[k];
      return sample ? `${tick(sample.time)}: ${CHARTS[shown].series.map(({ label, value }) => `${label} ${format.number(value(sample.metrics), CHARTS[shown].digits)}`).join(", ")}` : "";
    },
  });
  place.setAttribute("aria-description", CHART_KEYS);
  /** @param {boolean} is whether a part is shown */
  const zoomTo = (is) => {
    zoomed = is;
    whole.hidden = !is;
    if (!is) draw(store.get().history);
  };
  const build = () => {
    plot?.destroy();
    plot = null;
    zoomed = false;
    whole.hidden = true;
    const { clientHeight: height } = place;
    const width = place.clientWidth - SIDES;
    if (width < 50 || height < 60) return;
    unit.textContent = CHARTS[shown].unit;
    plot = new uPlot(options(shown, width, height - 24, () => zoomTo(true), () => zoomTo(false)), values(shown, store.get().history), place);
    place.setAttribute("aria-labelledby", `chart-${shown}`);
    draw(store.get().history);
    const legend = plot.root.querySelector(".u-legend");
    if (legend) observer.observe(legend); // it may take a line or two
  };
  /** @param {readonly Sample[]} history */
  const draw = (history) => {
    if (zoomed && isElsewhere(history)) {
      zoomed = false;
      whole.hidden = true;
    }
    newestKnown = history.at(-1);
    place.classList.toggle("waiting", history.length < 2);
    plot?.setData(values(shown, history), !zoomed);
    newest();
  };
  /**
   * Whether nothing is left of the part that is shown: another run or episode began, or it is too long ago.
   * @param {readonly Sample[]} history
   */
  const isElsewhere = (history) => !newestKnown || !history.includes(newestKnown) || (plot?.scales.x.max ?? Infinity) < history[0].time;
  /** The legend tells the newest values where nobody points at others. */
  const newest = () => {
    const { length } = store.get().history;
    if (plot && (plot.cursor.idx ?? null) === null && length) plot.setLegend({ idx: length - 1 });
  };
  const fit = () => {
    const legend = plot?.root.querySelector(".u-legend");
    plot?.setSize({ width: place.clientWidth - SIDES, height: Math.max(60, place.clientHeight - (legend?.clientHeight ?? 24) - 4) });
    newest(); // another size empties the legend
  };

  const observer = new ResizeObserver(() => {
    if (plot && place.clientWidth > 50) fit();
    else build();
  });
  observer.observe(place);
  node.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(/** @type {any} */ (event.target));
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at < 0 || by === undefined) return;
    event.stopPropagation();
    const next = tabs[(at + by + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
  const stops = [
    router.subscribe(({ params }) => {
      const name = params.chart && params.chart in CHARTS ? params.chart : "power";
      for (const tab of tabs) {
        const is = tab.id === `chart-${name}`;
        tab.setAttribute("aria-selected", String(is));
        tab.tabIndex = is ? 0 : -1;
      }
      if (name === shown && plot) return;
      shown = name;
      build();
    }),
    store.subscribe((state) => state.theme, build),
    store.subscribe(pick("history"), (/** @type {any} */ { history }) => draw(history)),
  ];
  return { node, stop: () => { stops.forEach((end) => end()); observer.disconnect(); plot?.destroy(); } };
}

/**
 * Midnight is a date, any other time a time.
 * @param {number} seconds
 */
function tick(seconds) {
  const text = new Date(seconds * 1000).toISOString();
  return seconds % 86_400 === 0 ? `${Number(text.slice(8, 10))} ${format.MONTHS[Number(text.slice(5, 7)) - 1]}` : text.slice(11, 16);
}

/**
 * @param {string} name
 * @param {readonly Sample[]} history
 * @returns {any}
 */
function values(name, history) {
  return [history.map((sample) => sample.time), ...CHARTS[name].series.map(({ value, down }) => history.map((sample) => (down ? -value(sample.metrics) : value(sample.metrics))))];
}

/**
 * @param {string} name
 * @param {number} width
 * @param {number} height
 * @param {() => void} onZoom
 * @param {() => void} onAll
 * @returns {import("uplot").Options}
 */
function options(name, width, height, onZoom, onAll) {
  const colors = palette();
  const { range, series, digits } = CHARTS[name];
  const axis = { stroke: colors["text-2"], grid: { stroke: colors.line, width: 1 }, ticks: { show: false }, font: chartFont() };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return {
    width, height, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), // simulated time has no zone
    padding: [8, 18, 0, 0], cursor: { drag: { x: true, y: false }, points: { size: 6 }, bind: { dblclick: () => () => { onAll(); return null; } } },
    scales: { x: { time: true }, y: range ? { range } : { range: (_, low, high) => { const pad = Math.max(0.05 * (high - low), 1e-3); return [low - (low < 0 ? pad : 0), high + pad]; } } },
    axes: [{ ...axis, space: 64, size: 24, values: (_, ticks) => ticks.map(tick) }, { ...axis, size: 44, space: 15 }],
    series: [
      { value: (_, t) => (t == null ? "–" : new Date(t * 1000).toISOString().slice(11, 16)), label: "Time" },
      ...series.map(({ label, color, dash, step, down }) => ({
        label, stroke: colors[color], width: 1.6, dash, points: { show: false }, paths: step ? stepped : undefined,
        value: (/** @type {any} */ _, /** @type {number | null} */ v) => format.number(v != null && down ? 0 - v : v, digits),
      })),
    ],
    hooks: { setSelect: [(plot) => { if (plot.select.width > 4) onZoom(); }] },
  };
}
