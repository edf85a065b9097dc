/** What to compare. */

import { field, h } from "../../dom.js";
import { clearFaults, named, numberOf, showFault, tickList } from "../kit/form.js";

/**
 * @typedef {import("../../types.d.ts").PolicyEntry} PolicyEntry
 * @typedef {import("../../types.d.ts").ScenarioEntry} ScenarioEntry
 */
const GROUPS = [
  { label: "Trained", kinds: ["policy"] },
  { label: "Rules", kinds: ["rule"] },
  { label: "Model predictive control", kinds: ["mpc"] },
  { label: "Bounds", kinds: ["optimum"] },
];
const GRID_ONLY = { value: "grid_only", title: "No battery, no transfers: the score's 0" };

/**
 * @param {import("../../types.d.ts").Context} context
 * @param {(job: any) => void} started
 */
export function comparisonForm({ api, format }, started) {
  const policies = new Set(["self-consumption", "time-of-use", "optimum"]);
  const scenarios = new Set(["community-5"]);
  const episodes = h("input", { type: "number", min: 1, max: 256, value: "4", required: true });
  const days = h("input", { type: "number", min: 0.25, max: 366, step: "any", placeholder: "the scenario's" });
  const size = h("p", { class: "faint" });
  const start = h("button", { class: "button primary", text: "Compare" });
  const lists = h("div", { class: "form-lists" }, h("p", { class: "faint", text: "Loading…" }));
  const form = h("form", { class: "stack-form", novalidate: true, onsubmit: submit }, lists,
    h("div", { class: "pair" }, named("episodes", field("Episodes", episodes, { hint: "each has its own seed" })), named("days", field("Days each", days, { hint: "empty: the scenario's" }))),
    h("div", { class: "faults" }), size, start);

  function tell() {
    const runs = policies.size * scenarios.size;
    size.textContent = runs ? `${policies.size} × ${scenarios.size} ${runs === 1 ? "pair" : "pairs"}, ${format.count(runs * (numberOf(episodes) ?? 0), "episode")} in all` : "Choose at least one policy and one scenario.";
    start.disabled = runs === 0;
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    clearFaults(form);
    start.disabled = true;
    try {
      started(await api.post("api/comparisons", { policies: [...policies], scenarios: [...scenarios], episodes: numberOf(episodes), days: numberOf(days) ?? null }));
    } catch (error) {
      showFault(form, /** @type {any} */ (error));
    }
    start.disabled = false;
  }

  async function load() {
    /** @type {[PolicyEntry[], ScenarioEntry[]]} */
    const [entries, shipped] = await Promise.all([api.get("api/policies"), api.get("api/scenarios")]);
    const trained = entries.find((entry) => entry.kind === "policy");
    if (trained) policies.add(trained.name);
    const groups = GROUPS.map(({ label, kinds }) => ({
      label,
      items: [
        ...entries.filter((entry) => kinds.includes(entry.kind)).map((entry) => ({
          value: entry.name, title: entry.title, note: entry.score === null ? "" : `${format.number(entry.score, 3)}${entry.scenario ? ` on ${entry.scenario}` : ""}`,
        })),
        ...(kinds.includes("optimum") ? [GRID_ONLY] : []),
      ],
    }));
    const usable = shipped.filter((entry) => !entry.fault).map((entry) => ({
      value: entry.name, title: entry.description ?? "", note: `${entry.num_agents}`,
    }));
    lists.replaceChildren(tickList("Policies", "policies", groups, policies, tell),
      tickList("Scenarios", "scenarios", [{ label: "", items: usable }], scenarios, tell));
    tell();
  }
  episodes.addEventListener("input", tell);
  load().catch((error) => lists.replaceChildren(h("p", { class: "fault", text: error.message })));
  return form;
}
