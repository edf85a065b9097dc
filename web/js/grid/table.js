/** The same as tables: for screen readers, for reading numbers, and for communities with more prosumers than cards. */
import { h, setText } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { STATUS } from "../status.js";
import { pick } from "../store.js";
import { explain } from "../tooltip.js";
import { feederTables } from "./feedertable.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").Agent} Agent */

/** Heading, class, text, what it is (`EXPLAIN`).
 * @type {[string, string, (a: Agent, f: typeof import("../format.js")) => string, string][]} */
const COLUMNS = [
  ["Status", "", (a) => STATUS[a.status].word, "status"],
  ["Charge, %", "right", (a, f) => (a.capacity_kwh ? f.number(a.energy_level * 100, 0) : "–"), "soc"],
  ["Demand, kW", "right", (a, f) => f.number(a.demand_kw, 2), "agent_demand"],
  ["Solar, kW", "right", (a, f) => f.number(a.generation_kw, 2), "agent_generation"],
  ["Utility, kW", "right", (a, f) => f.number(a.trade_kw, 2, { signed: true }), "trade"],
  ["Neighbours, kW", "right", (a, f) => f.number(a.received_kw - a.sent_kw, 2, { signed: true }), "neighbours"],
  ["Battery, kW", "right", (a, f) => f.number(a.charge_kw - a.discharge_kw, 2, { signed: true }), "battery_kw"],
  ["Voltage, p.u.", "right", (a, f) => f.number(a.voltage_pu, 3), "voltage_pu"],
  ["Step cost, EUR", "right", (a, f) => f.number(a.cost_eur, 3), "step_cost"],
  ["Cost so far, EUR", "right", (a, f) => f.number(a.cost_eur_total, 2), "agent_cost"],
];

const AT_ONCE = 50; // rows written each step beside those in view: of a thousand every one within two seconds

const PAUSE_MS = 150; // without a step

/** @param {Context} context */
export function agentTable(context) {
  const { store, router, format } = context;
  const body = h("tbody");
  const feeder = feederTables(context);
  const node = h("div", { class: "table-wrap grid-table" }, h("table", { class: "table" },
    h("caption", { class: "sr-only", text: "Prosumers in the newest step; utility and neighbours: positive brings energy in" }),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Prosumer" }), ...COLUMNS.map(([label, kind, , key]) => {
      const text = h("span", { text: label });
      explain(text, EXPLAIN[key]);
      return h("th", { scope: "col", class: kind }, text);
    }))), body), feeder.node);
  /** @type {Map<string, HTMLTableRowElement>} */
  const rows = new Map();
  /** @type {WeakMap<Element, number>} */
  const place = new WeakMap(); // a row's, among the prosumers
  /** @type {Set<number>} */
  const inView = new Set();
  let turn = 0; // whose rows are written next
  let stale = 0; // how many are not of the newest step, at most
  let later = 0; // a timer
  /** @type {string[]} */
  let names = [];
  /** @type {string | null} */
  let marked = null;
  const write = (/** @type {number} */ k) => {
    const agent = store.get().frame?.agents[k];
    const row = agent && rows.get(agent.id);
    if (row) COLUMNS.forEach(([, , text], column) => setText(row.cells[column + 1], text(agent, format)));
  };
  const watcher = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const k = place.get(target) ?? 0;
      if (!isIntersecting) inView.delete(k);
      else if (!inView.has(k)) {
        inView.add(k);
        write(k);
      }
    }
  }, { rootMargin: "100px" });
  const build = (/** @type {Agent[]} */ agents) => {
    rows.clear();
    inView.clear();
    names = agents.map(({ name }) => name);
    marked = null;
    watcher.disconnect();
    agents.forEach(({ id, name }, k) => {
      const row = h("tr", { dataset: { agent: id } },
        h("th", { scope: "row" }, h("button", { type: "button", text: name, onclick: () => router.set({ agent: store.get().selected === id ? null : id }) })),
        ...COLUMNS.map(([, kind]) => h("td", { class: `${kind} num` })));
      rows.set(id, row);
      place.set(row, k);
      watcher.observe(row);
    });
    body.parentElement?.classList.toggle("many", agents.length > AT_ONCE);
    body.replaceChildren(...rows.values());
    agents.forEach((_, k) => write(k));
  };
  const some = () => { // and the others while no step comes
    const count = Math.min(AT_ONCE, stale);
    for (let k = 0; k < count; k += 1) write((turn + k) % names.length);
    turn = (turn + count) % Math.max(1, names.length);
    stale -= count;
    clearTimeout(later);
    if (stale) later = window.setTimeout(some, PAUSE_MS);
  };
  const stop = store.subscribe(pick("frame", "selected"), () => {
    const { frame, selected } = store.get();
    const agents = frame?.agents ?? [];
    if (names.length !== agents.length || agents.some(({ name }, k) => name !== names[k])) build(agents);
    if (marked !== selected) {
      rows.get(marked ?? "")?.removeAttribute("aria-selected");
      rows.get(selected ?? "")?.setAttribute("aria-selected", "true");
      marked = selected;
    }
    inView.forEach(write);
    stale = agents.length;
    some();
  });
  return { node, stop: () => { stop(); clearTimeout(later); watcher.disconnect(); feeder.stop(); } };
}
