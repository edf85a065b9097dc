/** Scrubber: the recording at a glance, its events as marks of colour and shape, the place one is at. */

import { h, s } from "../../dom.js";
import { explain } from "../kit/explain.js";
import { KINDS, marks } from "./events.js";
import { overviewPaths } from "./overview.js";

const ROOMY = { over: 46, lane: 11 }; // px of the overview and of a kind's lane
const SMALL = { over: 28, lane: 8 };
const PHONE = 500; // px of width

export class Timeline {
  /** @param {(frame: number) => void} onSeek */
  constructor(onSeek) {
    this.range = h("input", { type: "range", class: "scrub", min: 0, max: 1, step: 1, value: "0", "aria-label": "Step of the recording", oninput: () => onSeek(Number(this.range.value)) });
    this.svg = s("svg", { class: "timeline-plot", "aria-hidden": "true" });
    this.now = h("div", { class: "now" });
    this.box = h("div", { class: "timeline-box" }, this.svg, this.now, this.range);
    this.labels = h("div", { class: "timeline-labels" });
    this.element = h("div", { class: "timeline" }, this.labels, this.box);
    this.box.addEventListener("pointerdown", (event) => {
      if (event.target === this.range) return;
      const move = (/** @type {PointerEvent} */ e) => {
        const { left, width } = this.box.getBoundingClientRect();
        onSeek(Math.round(this.first + ((e.clientX - left) / width) * (this.end - 1 - this.first)));
      };
      move(event);
      this.box.setPointerCapture(event.pointerId);
      this.box.addEventListener("pointermove", move);
      this.box.addEventListener("pointerup", () => this.box.removeEventListener("pointermove", move), { once: true });
    });
    this.first = 0;
    this.end = 1;
    /** @type {import("./events.js").RecordedEvent[]} */
    this.events = [];
    /** @type {import("./overview.js").Overview|null} */
    this.overview = null;
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.box);
  }

  /**
   * @param {number} first
   * @param {number} end
   * @param {import("./events.js").RecordedEvent[]} events
   * @param {import("./overview.js").Overview|null} overview
   */
  set(first, end, events, overview) {
    Object.assign(this, { first, end, events, overview });
    this.range.min = String(first);
    this.range.max = String(Math.max(end - 1, first));
    this.draw();
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    const { over, lane: high } = width < PHONE ? SMALL : ROOMY;
    const kinds = KINDS.filter(({ kind }) => this.events.some((event) => event.kind === kind));
    const height = over + kinds.length * high + 4;
    const x = (/** @type {number} */ frame) => ((frame - this.first) / Math.max(1, this.end - this.first)) * width;
    const gap = ((this.end - this.first) / width) * 2;
    const lanes = kinds.flatMap(({ kind, label, token }, lane) => marks(this.events, kind, this.end, gap).map((mark) => {
      const left = x(mark.from);
      const title = mark.count === 1 ? `${label}: ${mark.events[0].detail}` : `${mark.count} × ${label}`;
      return s("rect", { class: `mark-span ${kind}`, x: left, y: over + 3 + lane * high, width: Math.max(4, x(mark.to) - left), height: high - 3, rx: 2, vars: { "--c": `var(${token})` } }, s("title", { text: title }));
    }));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", String(height));
    this.svg.replaceChildren(...(this.overview ? overviewPaths(this.overview, width, over - 2) : []),
      s("line", { class: "base", x1: 0, x2: width, y1: over - 1.5, y2: over - 1.5 }), ...lanes);
    this.labels.replaceChildren(
      explain(h("span", { class: "lane-over" }, h("i", { class: "key-generation" }), "solar", h("br"), h("i", { class: "key-demand" }), "demand", h("br"), h("i", { class: "key-stability" }), "stability"),
        { title: "The recording at a glance", text: "Generation and demand of the community on one scale of kW, stability from 0 to 1; of each slice the worst." }),
      ...kinds.map(({ label }) => h("span", { class: "lane", text: label })));
    this.point(Number(this.range.value));
  }

  /**
   * @param {number} frame
   * @param {string} [text] said to a screen reader
   */
  point(frame, text) {
    this.range.value = String(frame);
    if (text) this.range.setAttribute("aria-valuetext", text);
    const part = (frame - this.first) / Math.max(1, this.end - 1 - this.first);
    this.now.style.left = `${100 * Math.min(1, Math.max(0, part))}%`;
  }

  destroy() {
    this.resize.disconnect();
  }
}
