/** One card a prosumer; the selected one opens and shows every number. */
import { h, s, setText } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { netPower } from "../history.js";
import { STATUS, statusColor } from "../status.js";
import { pick } from "../store.js";
import { explain } from "../tooltip.js";
import { spark } from "./spark.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").Agent} Agent */
/** @typedef {import("../types.d.ts").AgentTrace} AgentTrace */
/** @typedef {import("../types.d.ts").HelloAgent} HelloAgent */

export const MOST_CARDS = 60; // beyond, the table lists them all and the selected one has its card

/** @type {[string, string, (a: Agent, f: typeof import("../format.js")) => string][]} */
const ROWS = [
  ["agent_demand", "Demand", (a, f) => f.kw(a.demand_kw)],
  ["agent_generation", "Solar", (a, f) => f.kw(a.generation_kw)],
  ["trade", "Utility", (a, f) => f.signedKw(a.trade_kw)],
  ["neighbours", "Neighbours", (a, f) => f.signedKw(a.received_kw - a.sent_kw)],
  ["battery_kw", "Battery", (a, f) => f.signedKw(a.charge_kw - a.discharge_kw)],
  ["soc", "Energy", (a, f) => (a.capacity_kwh ? `${f.number(a.soc_kwh, 1)} of ${f.kwh(a.capacity_kwh)}` : "no battery")],
  ["voltage_pu", "Voltage", (a, f) => f.pu(a.voltage_pu)],
  ["agent_reward", "Reward", (a, f) => f.number(a.reward, 3, { signed: true })],
];

/** @param {Context} context */
export function agentCards(context) {
  const { store, router } = context;
  const list = h("div", { class: "agents-list" });
  const count = h("span", { class: "faint" });
  const node = h("section", { class: "agents", "aria-label": "Prosumers" }, h("header", {}, h("h2", { text: "Prosumers" }), count), list);
  /** @type {Map<string, ReturnType<typeof card>>} */
  let cards = new Map();

  const rebuild = () => {
    const { hello, selected } = store.get();
    const all = hello?.agents ?? [];
    const few = all.length <= MOST_CARDS ? all : all.filter(({ id }) => id === selected);
    cards = new Map(few.map((agent) => [agent.id, card(context, agent, () => router.set({ agent: store.get().selected === agent.id ? null : agent.id }))]));
    list.replaceChildren(...[...cards.values()].map((one) => one.node));
    setText(count, `${context.format.number(all.length, 0)}${all.length > MOST_CARDS ? "; select one in the grid or the table" : ""}`);
  };
  const update = () => {
    const { frame, traces, selected } = store.get();
    for (const agent of frame?.agents ?? []) cards.get(agent.id)?.update(agent, traces.get(agent.id), agent.id === selected);
  };
  const stops = [
    store.subscribe((state) => state.hello?.agents, () => { rebuild(); update(); }),
    store.subscribe((state) => state.selected, (selected) => {
      if ((store.get().hello?.num_agents ?? 0) > MOST_CARDS) rebuild();
      for (const [id, one] of cards) one.select(id === selected);
      update();
      if (selected) cards.get(selected)?.node.scrollIntoView({ block: "nearest" });
    }),
    store.subscribe(pick("frame", "traces"), update),
  ];
  return { node, stop: () => stops.forEach((end) => end()) };
}

/**
 * @param {Context} context
 * @param {HelloAgent} agent
 * @param {() => void} onSelect
 */
function card({ format }, agent, onSelect) {
  const glyph = s("svg", { class: "glyph", viewBox: "-1.3 -1.3 2.6 2.6", "aria-hidden": "true" }, s("path"));
  const shape = /** @type {SVGPathElement} */ (glyph.firstElementChild);
  const word = h("span", { class: "status" });
  const soc = h("span", { class: "num" });
  const net = h("span", { class: "num" });
  const cost = h("span", { class: "num" });
  const socLine = spark("var(--c-battery)", { low: 0, high: 1 });
  const netLine = spark("var(--c-transfer)", { zero: true });
  const values = ROWS.map(() => h("dd", { class: "num" }));
  const details = h("dl", { class: "details", hidden: true }, ...ROWS.map(([key, label], k) => {
    const row = h("div", {}, h("dt", { text: label }), values[k]);
    explain(row, EXPLAIN[key]);
    return row;
  }));
  const kwp = agent.pv_kwp === null ? "" : agent.pv_kwp > 0 ? ` · ${format.number(agent.pv_kwp, 0)} kWp` : " · no solar";
  const head = h("button", { type: "button", class: "head", "aria-expanded": "false", onclick: onSelect },
    glyph, h("strong", { text: agent.name }), word, h("span", { class: "faint kind", text: `${agent.archetype}${kwp}` }));
  const mini = (/** @type {string} */ key, /** @type {string} */ label, /** @type {HTMLElement} */ value, /** @type {Node | null} */ line) => {
    const box = h("div", { class: "mini" }, h("span", { class: "label" }, label), value, line);
    explain(box, EXPLAIN[key]);
    return box;
  };
  const node = h("article", { class: "card agent", dataset: { agent: agent.id } }, head,
    h("div", { class: "minis" }, mini("soc", "Charge", soc, socLine.node), mini("net", "Net", net, netLine.node), mini("agent_cost", "Cost so far", cost, null)), details);
  let open = false;
  return {
    node,
    /** @param {boolean} is */
    select(is) {
      open = is;
      node.classList.toggle("selected", is);
      head.setAttribute("aria-expanded", String(is));
      details.hidden = !is;
    },
    /** @param {Agent} now @param {AgentTrace | undefined} trace @param {boolean} selected */
    update(now, trace, selected) {
      if (selected !== open) this.select(selected);
      shape.setAttribute("d", STATUS[now.status].shape);
      shape.style.fill = statusColor(now.status);
      setText(word, STATUS[now.status].word);
      word.title = STATUS[now.status].what;
      setText(soc, now.capacity_kwh ? format.percent(now.energy_level) : "none");
      setText(net, format.signedKw(netPower(now)));
      setText(cost, format.eur(now.cost_eur_total));
      if (trace) {
        socLine.draw(trace.soc);
        netLine.draw(trace.net);
      }
      if (open) ROWS.forEach(([, , text], k) => setText(values[k], text(now, format)));
    },
  };
}
