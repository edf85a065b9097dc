/** A small training to start from the page: preset, what differs from it, and the weights of the reward. */

import { field, h } from "../../dom.js";
import { explain } from "../kit/explain.js";
import { clearFaults, named, showFault } from "../kit/form.js";
import { schemaFields } from "../kit/schema.js";
import { PARTS, weightedName } from "./columns.js";

const FIRST = ["iterations", "num_grids", "max_minutes", "seed"];
const NOT_HERE = ["algorithm", "device", "threads", "compile", ...FIRST];
/** @type {Record<string, string[]>} tables that an algorithm reads */
const TABLES = { ippo: ["ppo"], mappo: ["ppo"], qmix: ["qmix"], shac: ["shac"] };

/**
 * @param {import("../../types.d.ts").Context} context
 * @param {(run: string) => void} started
 */
export function trainingForm({ api, format }, started) {
  const scenario = h("select", {});
  const algorithm = h("select", {}, ["ippo", "mappo", "qmix", "shac"].map((name) => h("option", { value: name, text: name })));
  const name = h("input", { type: "text", placeholder: "made from scenario and time", pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", maxlength: 64 });
  const evaluate = h("input", { type: "checkbox", checked: true });
  const more = h("div", { class: "stack-form" });
  const first = h("div", { class: "pair" });
  const start = h("button", { class: "button primary", text: "Train", disabled: true });
  /** @type {Record<string, {input: HTMLInputElement, output: HTMLOutputElement}>} */
  const sliders = {};
  const weights = h("fieldset", { class: "ticks", dataset: { field: "rewards" } }, h("legend", { text: "Reward weights" }), PARTS.map((part) => {
    const output = h("output", { class: "num" });
    const input = h("input", { type: "range", min: 0, max: 2, step: 0.05, value: "0.1", oninput: () => { output.textContent = format.number(Number(input.value), 2); } });
    sliders[part] = { input, output };
    return field(part, input, { output });
  }));
  const form = h("form", { class: "stack-form", novalidate: true, onsubmit: submit },
    named("scenario", field("Scenario", scenario)), named("algorithm", field("Algorithm", algorithm)), first, weights,
    h("details", { class: "more" }, h("summary", { text: "More settings" }), named("name", field("Name of the run", name)), more),
    h("label", { class: "check" }, evaluate, "Scoreboard at the end"), h("div", { class: "faults" }), start);
  /** @type {any} */
  let schema = null;
  /** @type {{path: string, values: () => Record<string, any>}[]} */
  let parts = [];
  /** @type {Record<string, number>} */
  let shipped = {};

  function drawFields() {
    if (!schema) return;
    const tables = TABLES[algorithm.value] ?? [];
    const main = schemaFields(schema.properties, FIRST);
    const rest = schemaFields(schema.properties, Object.keys(schema.properties).filter((key) => !NOT_HERE.includes(key)));
    const inner = tables.map((table) => ({ table, ...schemaFields(schema.$defs[schema.properties[table].$ref.split("/").at(-1)].properties, Object.keys(schema.$defs[schema.properties[table].$ref.split("/").at(-1)].properties), `${table}.`) }));
    first.replaceChildren(...main.nodes);
    more.replaceChildren(h("div", { class: "pair" }, rest.nodes), ...inner.flatMap(({ table, nodes }) => [h("h3", { text: table.toUpperCase() }), h("div", { class: "pair" }, nodes)]));
    parts = [{ path: "", ...main }, { path: "", ...rest }, ...inner.map((part) => ({ path: part.table, values: part.values }))];
  }

  async function loadWeights() {
    const { config } = await api.get(`api/scenarios/${encodeURIComponent(scenario.value)}`);
    shipped = config.rewards;
    for (const part of PARTS) {
      const { input, output } = sliders[part];
      input.max = String(Math.max(2, shipped[part]));
      input.value = String(shipped[part]);
      output.textContent = format.number(shipped[part], 2);
    }
  }

  /** The scenario with the weights chosen; saved where they are not its own. */
  async function chosenScenario() {
    const chosen = Object.fromEntries(PARTS.map((part) => [part, Number(sliders[part].input.value)]));
    if (PARTS.every((part) => Math.abs(chosen[part] - shipped[part]) < 1e-9)) return scenario.value;
    const derived = weightedName(scenario.value, chosen);
    await api.post("api/scenarios/save", { name: derived, replace: true, scenario: { base: scenario.value, description: `${scenario.value} with other reward weights`, rewards: chosen } });
    return derived;
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    clearFaults(form);
    start.disabled = true;
    try {
      const config = {};
      for (const { path, values } of parts) {
        const filled = values();
        if (path && Object.keys(filled).length) Object.assign(config, { [path]: filled });
        else if (!path) Object.assign(config, filled);
      }
      const status = await api.post("api/training", { scenario: await chosenScenario(), algorithm: algorithm.value, name: name.value.trim() || null, config, evaluate: evaluate.checked });
      started(status.run);
    } catch (error) {
      const { message, field: at } = /** @type {any} */ (error);
      showFault(form, { message, field: at?.replace(/^config\./, "") });
    }
    start.disabled = false;
  }

  async function load() {
    const [entries, found] = await Promise.all([api.get("api/scenarios"), api.get("api/training/schema")]);
    schema = found;
    scenario.replaceChildren(...entries.filter((/** @type {any} */ entry) => !entry.fault).map((/** @type {any} */ entry) => h("option", { value: entry.name, text: entry.name, selected: entry.name === "community-5" })));
    drawFields();
    await loadWeights();
    start.disabled = false;
  }
  algorithm.addEventListener("change", drawFields);
  scenario.addEventListener("change", () => loadWeights().catch((error) => showFault(form, error)));
  explain(/** @type {HTMLElement} */ (weights.querySelector("legend")), {
    title: "Reward weights", text: "What the learner is rewarded with. Other weights than the scenario's are kept as a scenario of their own, based on it. The score does not depend on them.",
    formula: "reward = Σ weight · part",
  });
  load().catch((error) => showFault(form, error));
  return form;
}
