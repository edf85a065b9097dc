/** A time series or a curve by uPlot: colours from the tokens, a legend one can read, hide and reach by keyboard. */

import { h } from "../../dom.js";
import { MONTHS } from "../../format.js";
import { CHART_KEYS, chartKeys } from "./chartkeys.js";
import { chartFont, colour } from "./style.js";

/**
 * @typedef {{label: string, token: string, dash?: number[], width?: number, fill?: boolean, points?: boolean,
 *   only?: boolean, title?: string}} Line `only`: points without a line between them
 * @typedef {{x: number, label: string, token?: string}} Upright
 * @typedef {{y: number, label: string, token?: string}} Level
 * @typedef {object} ChartOptions
 * @property {string} title
 * @property {string} [unit]
 * @property {Line[]} lines
 * @property {"time"|"number"|"log"} [x] kind of the horizontal axis
 * @property {boolean} [logY]
 * @property {string} [xLabel]
 * @property {string} [sync] charts with the same key share their cursor
 * @property {number} [height] px
 * @property {(value: number) => string} [format] of values
 * @property {(value: number) => string} [formatX] in the legend
 * @property {Level[]} [levels] lines across
 * @property {boolean} [zero] whether the vertical axis includes 0
 * @property {boolean} [bare] without a heading of its own
 */

/** @param {number} value */
const plain = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));

/**
 * Grid lines of a logarithmic axis; those between the powers of ten only crowd it.
 * @param {any} _u
 * @param {number[]} splits
 */
const powersOfTen = (_u, splits) => splits.map((v) => (v !== null && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9 ? v : null));

/**
 * A number that fits beside an axis: millions in words.
 * @param {number} value
 * @param {(value: number) => string} format
 */
const short = (value, format) => (Math.abs(value) >= 1e6 ? `${plain(value / 1e6)} M` : format(value));

/**
 * Hours, and below the first of each day its date; whole days only where the ticks are days apart.
 * @param {number[]} ticks s since 1970
 */
export function timeTicks(ticks) {
  const days = ticks.length > 1 && ticks[1] - ticks[0] >= 86_400;
  let before = "";
  return ticks.map((tick) => {
    const t = new Date(tick * 1000);
    const date = `${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}`;
    const hour = t.toISOString().slice(11, 16);
    const text = days ? date : date === before ? hour : `${hour}\n${date}`;
    before = date;
    return text;
  });
}

export class Chart {
  /**
   * @param {ChartOptions} options
   */
  constructor(options) {
    this.options = { height: 180, x: "time", format: plain, ...options };
    /** @type {any[]} */
    this.data = [[]];
    /** @type {Set<number>} */
    this.hidden = new Set();
    this.plotBox = h("div", { class: "chart-plot" });
    this.legend = h("ul", { class: "chart-legend" });
    this.position = h("span", { class: "chart-position faint num" });
    const heading = options.bare
      ? null
      : h("figcaption", {}, h("strong", {}, options.title), options.unit ? h("span", { class: "faint" }, ` ${options.unit}`) : null, this.position);
    this.element = h("figure", { class: "chart" }, heading, this.plotBox, this.legend);
    /** @type {any} */
    this.plot = null;
    chartKeys(this.plotBox, () => this.plot, { say: (k) => this.words(k) });
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.plotBox);
    this.theme = new MutationObserver(() => this.build());
    this.theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  /**
   * Show these values; `lines` where they are others than before.
   * @param {any[]} data times, then a column a line
   * @param {Line[]} [lines]
   * @param {Level[]} [levels]
   */
  set(data, lines, levels) {
    this.data = data;
    const rebuild = Boolean(lines && JSON.stringify(lines) !== JSON.stringify(this.options.lines)) || !this.plot;
    if (lines) this.options.lines = lines;
    if (levels) this.options.levels = levels;
    if (rebuild) this.build();
    else this.plot.setData(data);
    this.describe();
  }

  destroy() {
    this.resize.disconnect();
    this.theme.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  fit() {
    const width = this.plotBox.clientWidth;
    if (!width) return;
    if (!this.plot) this.build();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.options.height });
  }

  build() {
    const width = this.plotBox.clientWidth;
    if (!width || !this.data[0]) return;
    this.plot?.destroy();
    this.plot = new uPlot(this.uplotOptions(width), /** @type {any} */ (this.data), this.plotBox);
    this.buildLegend();
    this.describe();
  }

  /**
   * @param {number} width
   * @returns {any}
   */
  uplotOptions(width) {
    const { lines, x, logY, height, sync, xLabel, format, zero } = this.options;
    const [ink, line] = [colour("--text-3"), colour("--line")];
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: chartFont(), labelFont: chartFont() };
    return {
      width, height, padding: [8, x === "time" ? 18 : 22, 0, 0],
      tzDate: (/** @type {number} */ ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
      legend: { show: false },
      cursor: { ...(sync ? { sync: { key: sync, setSeries: false } } : {}), points: { size: 6 }, y: false, drag: { x: true, y: false } },
      scales: {
        x: { time: x === "time", ...(x === "log" ? { distr: 3 } : {}) },
        y: logY ? { distr: 3 } : {
          range: (/** @type {any} */ _u, /** @type {number|null} */ low, /** @type {number|null} */ high) => {
            const levels = (this.options.levels ?? []).map((level) => level.y);
            if (!levels.length && (low === null || high === null)) return [0, 1];
            const [least, most] = low === null || high === null ? [0, 1] : [low, high]; // before the first value
            const [a, b] = [Math.min(least, ...levels, zero ? 0 : Infinity), Math.max(most, ...levels, zero ? 0 : -Infinity)];
            const room = (b - a || Math.abs(b) || 1) * 0.07;
            const above = levels.length && b - Math.max(...levels) < room ? 2 * room : room; // for a level's name over its line
            return [zero && a === 0 ? 0 : a - room, b + above];
          },
        },
      },
      axes: [
        { ...axis, size: x === "time" ? 38 : 24, space: 64, ...(x === "time" ? { values: (/** @type {any} */ _u, /** @type {number[]} */ v) => timeTicks(v) } : {}), ...(xLabel ? { label: xLabel, labelSize: 16, labelGap: 0 } : {}),
          ...(x === "log" ? { splits: () => this.data[0], filter: (/** @type {any} */ _u, /** @type {number[]} */ splits) => splits, values: (/** @type {any} */ _u, /** @type {number[]} */ v) => v.map((n) => (n === null ? "" : plain(n))) } : {}) },
        { ...axis, ...(logY ? { grid: { ...axis.grid, filter: powersOfTen } } : {}), size: 52, space: 30, values: (/** @type {any} */ _u, /** @type {number[]} */ values) => values.map((v) => (v === null ? "" : short(v, format))) },
      ],
      series: [
        {},
        ...lines.map((l, k) => ({
          label: l.label, show: !this.hidden.has(k), stroke: colour(l.token), width: l.only ? 0 : (l.width ?? 1.6), dash: l.dash, spanGaps: true,
          points: { show: l.points || l.only || false, size: 6, fill: colour(l.token) },
          ...(l.only ? { paths: () => null } : {}),
          ...(l.fill ? { fill: `color-mix(in srgb, ${colour(l.token)} 16%, transparent)` } : {}),
        })),
      ],
      hooks: { setCursor: [(/** @type {any} */ u) => this.follow(u.cursor.idx)], drawAxes: [(/** @type {any} */ u) => this.drawLevels(u)] }, // below the lines
    };
  }

  /**
   * Lines across with their names.
   * @param {any} u
   */
  drawLevels(u) {
    const { ctx } = u;
    const scale = devicePixelRatio;
    let above = -Infinity; // the line over this one, top first
    for (const level of [...(this.options.levels ?? [])].sort((a, b) => b.y - a.y)) {
      const y = u.valToPos(level.y, "y", true);
      const below = y - above < 16 * scale; // no room for its name between the two
      above = y;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour(level.token ?? "--text-2");
      ctx.lineWidth = scale;
      ctx.setLineDash([4 * scale, 4 * scale]);
      ctx.beginPath();
      ctx.moveTo(u.bbox.left, y);
      ctx.lineTo(u.bbox.left + u.bbox.width, y);
      ctx.stroke();
      ctx.font = chartFont().replace("11px", `${11 * scale}px`);
      ctx.textAlign = "right";
      ctx.textBaseline = "middle";
      const { width } = ctx.measureText(level.label);
      const [right, middle] = [u.bbox.left + u.bbox.width - 4 * scale, y + (below ? 9 : -9) * scale];
      ctx.fillStyle = colour("--surface"); // no grid line through the name
      ctx.fillRect(right - width - 3 * scale, middle - 7 * scale, width + 6 * scale, 14 * scale);
      ctx.fillStyle = ctx.strokeStyle;
      ctx.fillText(level.label, right, middle);
      ctx.restore();
    }
  }

  buildLegend() {
    this.values = this.options.lines.map(() => h("span", { class: "num" }));
    this.legend.replaceChildren(
      ...this.options.lines.map((line, k) =>
        h("li", {}, h("button", {
          type: "button", "aria-pressed": String(!this.hidden.has(k)), title: line.title ?? `Show or hide ${line.label}`,
          onclick: () => {
            this.hidden.has(k) ? this.hidden.delete(k) : this.hidden.add(k);
            this.plot.setSeries(k + 1, { show: !this.hidden.has(k) });
            this.legend.querySelectorAll("button")[k].setAttribute("aria-pressed", String(!this.hidden.has(k)));
          },
        }, h("i", { class: line.only ? "swatch dot" : line.dash?.length ? "swatch dashed" : "swatch", vars: { "--c": `var(${line.token})` } }), line.label, this.values?.[k])),
      ),
    );
    this.legend.hidden = this.options.lines.length < 2 && Boolean(this.options.bare);
  }

  /**
   * Values under the cursor, or the last ones.
   * @param {number|null|undefined} index
   */
  follow(index) {
    const k = index ?? null;
    const x = k === null ? null : this.data[0][k];
    this.position.textContent = x === null || x === undefined ? "" : this.sayX(x);
    this.options.lines.forEach((_, line) => {
      const column = this.data[line + 1] ?? [];
      const value = k === null ? column.findLast((/** @type {any} */ v) => v !== null) : column[k];
      const cell = this.values?.[line];
      if (cell) cell.textContent = value === null || value === undefined ? "–" : /** @type {any} */ (this.options.format)(value);
    });
  }

  /** @param {number} x */
  sayX(x) {
    if (this.options.formatX) return this.options.formatX(x);
    if (this.options.x !== "time") return plain(x);
    return new Date(x * 1000).toISOString().slice(5, 16).replace("T", " ");
  }

  describe() {
    const { title, unit, lines, levels, format } = this.options;
    if ((this.plot?.cursor.idx ?? null) === null) this.follow(null); // else somebody reads the values under the cursor
    const ends = lines.map((line, k) => {
      const value = (this.data[k + 1] ?? []).findLast((/** @type {any} */ v) => v !== null && v !== undefined);
      return `${line.label} ${value === undefined ? "no value" : /** @type {any} */ (format)(value)}`;
    });
    this.plotBox.setAttribute("role", "img");
    const across = levels?.length ? ` Lines across: ${levels.map((level) => level.label).join("; ")}.` : "";
    this.plotBox.setAttribute("aria-label", `${title}${unit ? `, ${unit}` : ""}. Last values: ${ends.join("; ")}.${across} ${CHART_KEYS}`);
  }

  /** @param {number} k a point, in words */
  words(k) {
    const { lines, format } = this.options;
    const said = lines.map((line, i) => {
      const value = (this.data[i + 1] ?? [])[k];
      return `${line.label} ${value === null || value === undefined ? "no value" : /** @type {any} */ (format)(value)}`;
    });
    return `${this.sayX(this.data[0][k])}: ${said.join(", ")}`;
  }
}
