/** Days of a policy; each opens into the energy of its prosumers. */

import { h } from "../../dom.js";
import { explain } from "../kit/explain.js";
import { scrolling } from "../kit/scrolling.js";
import { fixed } from "./kpis.js";
import { days } from "./shape.js";

const COLUMNS = [
  { key: "demand_kwh", label: "Demand", what: "Energy asked for." },
  { key: "demand_met_kwh", label: "Met", what: "Demand less what was not served." },
  { key: "solar_kwh", label: "Solar", what: "Energy generated." },
  { key: "solar_used_kwh", label: "Solar used", what: "Generated, less what was sold or curtailed in the same step." },
  { key: "bought_kwh", label: "Bought", what: "Bought from the utility, shortfall included." },
  { key: "sold_kwh", label: "Sold", what: "Sold to the utility, excess included." },
  { key: "received_kwh", label: "Received", what: "Received from neighbours." },
  { key: "sent_kwh", label: "Sent", what: "Sent to neighbours." },
];
/** Where a prosumer's energy came from, and where it went besides its own demand. */
const SOURCES = [
  { key: "solar_used_kwh", label: "solar used", token: "--c-generation" },
  { key: "received_kwh", label: "received", token: "--c-transfer" },
  { key: "bought_kwh", label: "bought", token: "--c-import" },
];

/**
 * @param {any[]} daily
 * @param {string} policy
 * @param {Set<number>} open days that are open; kept by the caller
 * @param {() => void} changed which are
 */
export function dailyTable(daily, policy, open, changed) {
  const rows = days(daily, policy);
  const most = Math.max(1e-9, ...rows.flatMap((day) => day.agents.map((agent) => SOURCES.reduce((sum, source) => sum + agent[source.key], 0))));
  const body = h("tbody", {});
  for (const day of rows) {
    const inner = day.agents.map((agent) => h("tr", { class: "part", hidden: !open.has(day.day) },
      h("th", { scope: "row" }, agent.name, sources(agent, most)), numbers(agent)));
    const toggle = h("button", { type: "button", class: "twist", "aria-expanded": String(open.has(day.day)), onclick: () => {
      open.has(day.day) ? open.delete(day.day) : open.add(day.day);
      toggle.setAttribute("aria-expanded", String(open.has(day.day)));
      for (const row of inner) row.hidden = !open.has(day.day);
      changed();
    } }, `Day ${day.day + 1}`);
    body.append(h("tr", { class: "day" }, h("th", { scope: "row" }, toggle), numbers(day.total)), ...inner);
  }
  return h("div", { class: "daily" },
    h("ul", { class: "chart-legend plain" }, SOURCES.map((source) => h("li", {}, h("i", { class: "swatch block", vars: { "--c": `var(${source.token})` } }), source.label))),
    scrolling(h("table", { class: "table" },
      h("caption", { class: "sr-only" }, `Energy of ${policy} by day and prosumer, kWh, mean over the episodes`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Day, prosumer"), COLUMNS.map((c) => h("th", { scope: "col", class: "right" },
        explain(h("span", {}, c.label, h("small", {}, " kWh")), { title: c.label, unit: "kWh", text: `${c.what} Mean over the episodes.` }))))), body)));
}

/** @param {Record<string, number>} row */
const numbers = (row) => COLUMNS.map((c) => h("td", { class: "right num" }, fixed(row[c.key], 1)));

/**
 * @param {Record<string, number>} agent
 * @param {number} most
 */
function sources(agent, most) {
  const text = SOURCES.map((source) => `${source.label} ${fixed(agent[source.key], 1)} kWh`).join(", ");
  return h("span", { class: "stack", role: "img", "aria-label": text, title: text },
    SOURCES.map((source) => h("i", { vars: { "--w": `${(100 * agent[source.key]) / most}%`, "--c": `var(${source.token})` } })));
}
