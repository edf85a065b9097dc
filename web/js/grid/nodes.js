/** Prosumers and the utility as SVG: focusable, labelled, with a ring of charge, a shape of status and a tint of voltage. */
import { STATUS, statusColor } from "../status.js";
import { NARROW, shortened, spots } from "./labels.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {import("../types.d.ts").Agent} Agent */

const RING = 0.2; // of the radius

/**
 * @typedef {object} NodeEvents
 * @property {(id: string) => void} select
 * @property {(id: string, element: SVGElement) => void} show the tooltip
 * @property {() => void} hide
 */

/**
 * @param {SVGGElement} root
 * @param {Layout} place
 * @param {NodeEvents} events
 */
export function buildNodes(root, place, events) {
  const r = place.radius;
  d3.select(root).selectAll("*").remove();
  const nodes = d3.select(root).selectAll("g.node").data(place.agents).join("g").attr("class", "node").attr("role", "button")
    .attr("tabindex", (_, i) => (i === 0 ? 0 : -1)).attr("data-agent", ({ id }) => id).attr("transform", ({ x, y }) => `translate(${x},${y})`);
  nodes.append("circle").attr("class", "halo").attr("r", r + 5);
  nodes.append("circle").attr("class", "disc").attr("r", r);
  nodes.append("circle").attr("class", "tint").attr("r", r);
  nodes.append("circle").attr("class", "ring-back").attr("r", r * (1 - RING / 2)).attr("stroke-width", r * RING);
  nodes.append("path").attr("class", "ring");
  nodes.append("path").attr("class", "shape").attr("transform", `scale(${r * 0.34})`);
  if (!place.dense) {
    const where = spots(place);
    const label = nodes.append("text").attr("class", "name").attr("x", (_, i) => where[i].x).attr("y", (_, i) => where[i].y).style("text-anchor", (_, i) => where[i].anchor);
    label.append("tspan").text(({ name }) => `${shortened(name)} `);
    label.append("tspan").attr("class", "power");
  }
  nodes.on("click", (_, { id }) => events.select(id))
    .on("keydown", (event, { id }) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        events.select(id);
      }
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[/** @type {string} */ (event.key)];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const all = /** @type {SVGGElement[]} */ (nodes.nodes());
      const next = all[(/** @type {number} */ (place.indexOf.get(id)) + by + all.length) % all.length];
      all.forEach((one) => one.setAttribute("tabindex", one === next ? "0" : "-1"));
      next.focus();
    })
    .on("pointerenter", function (event, { id }) {
      if (event.pointerType !== "touch") events.show(id, /** @type {SVGElement} */ (this));
    })
    .on("pointerleave", events.hide)
    .on("focus", function (_, { id }) {
      const element = /** @type {SVGElement} */ (this);
      if (element.matches(":focus-visible")) events.show(id, element);
    })
    .on("blur", events.hide);
}

/**
 * @param {SVGGElement} root
 * @param {Layout} place
 * @param {Frame | null} frame
 * @param {string | null} selected
 * @param {typeof import("../format.js")} format
 */
export function updateNodes(root, place, frame, selected, format) {
  const r = place.radius;
  const arcOf = d3.arc();
  d3.select(root).selectAll("g.node").each(function (datum, i) {
    const node = /** @type {SVGGElement} */ (this);
    const { id, name } = /** @type {{ id: string, name: string }} */ (datum);
    const is = id === selected;
    node.classList.toggle("selected", is);
    node.setAttribute("aria-pressed", String(is));
    const agent = frame?.agents[i];
    if (!agent) {
      node.setAttribute("aria-label", name);
      return;
    }
    const net = agent.bought_kw + agent.received_kw - agent.sold_kw - agent.sent_kw;
    const color = statusColor(agent.status);
    const [, , tint, , ring, shape, label] = /** @type {any} */ (node.children);
    tint.style.fill = agent.voltage_pu > 1 ? "var(--poor)" : "var(--c-transfer)";
    tint.style.fillOpacity = agent.voltage_pu === 0 ? "0" : String(Math.min(0.5, Math.abs(agent.voltage_pu - 1) * 5));
    const charge = { innerRadius: r * (1 - RING), outerRadius: r, startAngle: 0, endAngle: 2 * Math.PI * agent.energy_level };
    ring.setAttribute("d", agent.capacity_kwh > 0 ? arcOf(charge) : "");
    ring.style.fill = color;
    if (shape.dataset.status !== agent.status) {
      shape.dataset.status = agent.status;
      shape.setAttribute("d", STATUS[agent.status].shape);
      shape.style.fill = color;
    }
    const power = place.width < NARROW ? format.number(net, 1, { signed: true }) : format.quantity(net, "kW", 1, { signed: true });
    if (label) label.lastElementChild.textContent = power;
    node.setAttribute("aria-label", `${name} ${power}: ${agent.status}, charge ${format.percent(agent.energy_level)}`);
  });
}

/**
 * What the tooltip of a prosumer says.
 * @param {Agent} agent
 * @param {typeof import("../format.js")} f
 * @returns {import("../tooltip.js").Tip}
 */
export function agentTip(agent, f) {
  /** @type {[string, string][]} */
  const rows = [
    ["Charge (ring)", agent.capacity_kwh ? `${f.percent(agent.energy_level)} of ${f.kwh(agent.capacity_kwh)}` : "no battery"],
    ["Demand", f.kw(agent.demand_kw)], ["Solar", f.kw(agent.generation_kw)], ["Utility, bought − sold", f.signedKw(agent.trade_kw)],
    ["Neighbours, received − sent", f.signedKw(agent.received_kw - agent.sent_kw)], ["Battery, charge − discharge", f.signedKw(agent.charge_kw - agent.discharge_kw)],
    ["Voltage (tint)", f.pu(agent.voltage_pu)], ["Cost of the step", f.eur(agent.cost_eur, 3)], ["Cost so far", f.eur(agent.cost_eur_total)],
  ];
  if (agent.unserved_kw > 0.01) rows.push(["Unserved", f.kw(agent.unserved_kw)]);
  if (agent.curtailed_kw > 0.01) rows.push(["Thrown away", f.kw(agent.curtailed_kw)]);
  return { title: `${agent.name}, ${agent.status}`, what: STATUS[agent.status].what, rows };
}
