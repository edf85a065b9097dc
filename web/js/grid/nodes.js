/** Prosumers and the utility as SVG: focusable, labelled, with a ring of charge, a shape of status and a tint of voltage. */
import { netPower } from "../history.js";
import { STATUS, statusColor } from "../status.js";
import { NARROW, spots } from "./labels.js";
import { ZOOM } from "./layout.js";

/** @typedef {import("./layout.js").Layout} Layout */
/** @typedef {import("../types.d.ts").Frame} Frame */
/** @typedef {import("../types.d.ts").Agent} Agent */

const RING = 0.2; // of the radius
const UTILITY = 46; // px of its name

/**
 * Half the side of the utility's square.
 * @param {number} radius of a prosumer
 */
export const utilitySize = (radius) => Math.max(9, Math.min(17, radius * 0.7));

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
  const labels = place.dense ? null : buildLabels(root, place);
  /** @param {string | null} id of the prosumer at which somebody points */
  const reveal = (id) => labels?.classed("pointed", (one) => one.id === id).filter((one) => one.id === id).raise();
  labels?.on("click", (_, { id }) => events.select(id));
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
      reveal(id);
      if (event.pointerType !== "touch") events.show(id, /** @type {SVGElement} */ (this));
    })
    .on("pointerleave blur", () => {
      reveal(null);
      events.hide();
    })
    .on("focus", function (_, { id }) {
      const element = /** @type {SVGElement} */ (this);
      reveal(id);
      if (element.matches(":focus-visible")) events.show(id, element);
    });
}

/**
 * Names and powers, over all discs, so that none is cut by a neighbour's.
 * @param {SVGGElement} root
 * @param {Layout} place
 */
function buildLabels(root, place) {
  const { width, height, utility: { x, y }, radius } = place;
  const r = utilitySize(radius);
  const where = spots(place, [{ left: x - r, right: x + r, top: y - r, bottom: y + r }, { left: x - r, right: x - r + UTILITY, top: y + r, bottom: y + r + 19 },
    { left: width - ZOOM.width, right: width, top: height - ZOOM.height, bottom: height }]);
  const labels = d3.select(root).append("g").attr("class", "names").attr("aria-hidden", "true").selectAll("text").data(place.agents).join("text") // nodes say theirs
    .attr("class", (_, i) => (where[i].crowded ? "name crowded" : "name")).attr("data-of", ({ id }) => id)
    .attr("x", (at, i) => at.x + where[i].x).attr("y", (at, i) => at.y + where[i].y).style("text-anchor", (_, i) => where[i].anchor);
  labels.append("tspan").text((_, i) => `${where[i].text} `);
  labels.append("tspan").attr("class", "power").attr("data-form", (_, i) => where[i].power);
  return labels;
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
  const labels = new Map([.../** @type {NodeListOf<SVGElement>} */ (root.querySelectorAll(".name"))].map((label) => [label.dataset.of, label]));
  d3.select(root).selectAll("g.node").each(function (datum, i) {
    const node = /** @type {SVGGElement} */ (this);
    const { id, name } = /** @type {{ id: string, name: string }} */ (datum);
    const is = id === selected;
    const label = labels.get(id);
    label?.classList.toggle("selected", is);
    node.classList.toggle("selected", is);
    node.setAttribute("aria-pressed", String(is));
    const agent = frame?.agents[i];
    if (!agent) {
      node.setAttribute("aria-label", name);
      return;
    }
    const net = netPower(agent);
    const color = statusColor(agent.status);
    const [, , tint, , ring, shape] = /** @type {any} */ (node.children);
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
    const figure = /** @type {SVGElement | null | undefined} */ (label?.lastElementChild);
    if (figure) figure.textContent = figure.dataset.form === "none" ? "" : figure.dataset.form === "number" ? format.number(net, 1, { signed: true }) : power;
    node.setAttribute("aria-label", `${name} ${power}: ${STATUS[agent.status].word}, charge ${format.percent(agent.energy_level)}`);
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
  return { title: `${agent.name}, ${STATUS[agent.status].word}`, what: STATUS[agent.status].what, rows };
}
