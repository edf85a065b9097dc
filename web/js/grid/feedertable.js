/** Branches, buses and links as tables, below the prosumers': for keyboards and screen readers, and to read numbers. */
import { h } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { pick } from "../store.js";
import { explain } from "../tooltip.js";
import { flowsOf, inBand, linkFlow, nameOf, switched } from "./feedertips.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").Hello} Hello */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {typeof import("../format.js")} Format */

/**
 * @typedef {object} Part
 * @property {string} one of them
 * @property {string} many
 * @property {[string, string, string?][]} columns heading, class, what it is (`EXPLAIN`); the first heads the row
 * @property {(hello: Hello) => number} count
 * @property {(k: number, hello: Hello, f: Format) => string[]} still what no step changes: the name and the last columns
 * @property {(k: number, hello: Hello, now: Now, f: Format) => string[]} moving those between
 *
 * @typedef {{ frame: Frame, flows: ReadonlyMap<string, number> }} Now
 */

/** @type {Part[]} */
const PARTS = [{
  one: "branch", many: "branches", count: (hello) => hello.feeder?.branches.name.length ?? 0,
  columns: [["Branch", ""], ["Loading, %", "right num", "branch_loading"], ["Carries, kVA", "right num", "branch_power"], ["Switch", "", "branch_switch"], ["Rating, kVA", "right num", "branch_rating"], ["Kind", ""], ["From → to", ""]],
  still(k, hello, f) {
    const { branches: b, buses } = /** @type {NonNullable<Hello["feeder"]>} */ (hello.feeder);
    return [b.name[k], b.rating_kva[k] === null ? "unlimited" : f.number(b.rating_kva[k], 0), b.kind[k], `${buses.name[b.source[k]]} → ${buses.name[b.target[k]]}`];
  },
  moving(k, hello, { frame }, f) {
    const [rating, loading] = [hello.feeder?.branches.rating_kva[k] ?? null, frame.branches.loading[k]];
    if (rating === null) return ["–", "–", switched(k, hello, frame)];
    return [f.number(loading * 100, 1), f.number(loading * rating, 1), switched(k, hello, frame)];
  },
}, {
  one: "bus", many: "buses", count: (hello) => hello.feeder?.buses.name.length ?? 0,
  columns: [["Bus", ""], ["Voltage, p.u.", "right num", "bus_voltage"], ["Allowed", "", "bus_band"], ["Nominal, kV", "right num", "bus_nominal"]],
  still: (i, { feeder }, f) => [feeder?.buses.name[i] ?? "", f.number(feeder?.buses.vn_kv[i], 1)],
  moving(i, { feeder }, { frame }, f) {
    const voltage = frame.buses.voltage_pu[i];
    return [f.number(voltage, 3), inBand(voltage, feeder?.voltage_band_pu ?? [0.9, 1.1])];
  },
}, {
  one: "link", many: "links", count: (hello) => hello.links.length,
  columns: [["Neighbours", ""], ["Now", "right num", "link_flow"], ["Largest transfer, kW", "right num", "link_rating"]],
  still(k, hello, f) {
    const { source, target, rating_kw } = hello.links[k];
    return [`${nameOf(source, hello)} – ${nameOf(target, hello)}`, f.number(rating_kw, 1)];
  },
  moving: (k, hello, { flows }, f) => [linkFlow(k, hello, flows, f)],
}];

/**
 * Closed at first; its rows are made when it is opened, and only those texts are written that changed.
 * @param {Context} context
 */
export function feederTables({ store, router, format }) {
  const body = h("div", { class: "feeder-tables" });
  const summary = h("summary", {});
  const details = h("details", { class: "feeder", ontoggle: () => details.isConnected && router.set({ feeder: details.open ? "1" : null }) }, summary, body);
  /** @type {ReturnType<typeof table>[]} */
  let tables = [];
  let madeFor = /** @type {Hello | null} */ (null);
  const update = () => {
    const { hello, frame } = store.get();
    if (!hello?.feeder || !details.open || !body.checkVisibility()) return;
    if (madeFor !== hello) {
      madeFor = hello;
      tables = PARTS.filter((part) => part.count(hello) > 0).map((part) => table(part, hello, format));
      body.replaceChildren(...tables.map(({ node }) => node));
    }
    if (!frame) return;
    const now = { frame, flows: flowsOf(frame) };
    for (const one of tables) one.update(now);
  };
  const shown = new ResizeObserver(update); // also when what it lies in is opened
  shown.observe(body);
  const stops = [
    store.subscribe((state) => state.hello, (hello) => {
      details.hidden = !hello?.feeder;
      summary.textContent = hello?.feeder ? `Feeder: ${PARTS.map((part) => format.count(part.count(hello), part.one, part.many)).join(", ")}` : "";
      update();
    }),
    store.subscribe(pick("frame"), update),
    router.subscribe(({ params }) => {
      details.open = params.feeder === "1";
      update();
    }),
  ];
  return { node: details, stop: () => { stops.forEach((end) => end()); shown.disconnect(); } };
}

/**
 * @param {Part} part
 * @param {Hello} hello
 * @param {Format} format
 */
function table({ many, columns, count, still, moving }, hello, format) {
  const heads = columns.map(([label, kind, key]) => {
    const text = h("span", { text: label });
    if (key) explain(text, EXPLAIN[key]);
    return h("th", { scope: "col", class: kind }, text);
  });
  /** @type {{ cells: HTMLTableCellElement[], texts: string[] }[]} of what moves */
  const lines = [];
  const rows = Array.from({ length: count(hello) }, (_, k) => {
    const [name, ...rest] = still(k, hello, format);
    const between = columns.length - rest.length;
    const cells = columns.slice(1, between).map(([, kind]) => h("td", { class: kind }));
    lines.push({ cells, texts: cells.map(() => "") });
    return h("tr", {}, h("th", { scope: "row", text: name }), cells, rest.map((text, i) => h("td", { class: columns[between + i][1], text })));
  });
  return {
    node: h("table", { class: "table", dataset: { part: many } }, h("caption", { text: `${many[0].toUpperCase()}${many.slice(1)}` }), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)),
    /** @param {Now} now */
    update(now) {
      lines.forEach(({ cells, texts }, k) => moving(k, hello, now, format).forEach((text, i) => {
        if (text !== texts[i]) cells[i].textContent = texts[i] = text;
      }));
    },
  };
}
