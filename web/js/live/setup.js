/** The form that begins a community: scenario, policy, seed, days. Policies that do not fit say why. */
import { field, h } from "../dom.js";
import { toast } from "../toast.js";
import { startRun } from "./actions.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").PolicyEntry} PolicyEntry */
/** @typedef {import("../types.d.ts").ScenarioEntry} ScenarioEntry */

const GROUPS = { policy: "Trained", rule: "Rules", mpc: "Model predictive control", optimum: "Perfect foresight" };

/** @param {Context} context */
export function setup(context) {
  const { api, store, format } = context;
  const scenario = h("select", { name: "scenario" });
  const policy = h("select", { name: "policy" }, h("option", { value: "", text: "loading…" }));
  const seed = h("input", { type: "number", name: "seed", min: 0, max: 2 ** 53 - 1, step: 1, value: "0", required: true });
  const days = h("input", { type: "number", name: "days", min: 0.05, max: 36_500, step: "any", placeholder: "endless" });
  const about = h("p", { class: "hint" });
  const unfit = h("details", { class: "unfit", hidden: true });
  const submit = h("button", { class: "button", type: "submit", text: "Start this community" });
  /** @type {ScenarioEntry[]} */
  let scenarios = [];
  let asked = "";

  const fillPolicies = async () => {
    const name = scenario.value;
    const entry = scenarios.find((one) => one.name === name);
    about.textContent = entry?.description ?? "";
    if (!name || asked === name) return;
    asked = name;
    try {
      /** @type {PolicyEntry[]} */
      const entries = await api.get(`api/policies?scenario=${encodeURIComponent(name)}`);
      if (asked === name) showPolicies(policy, unfit, entries, store.get().hello?.policy?.name ?? "", format);
    } catch (error) {
      asked = "";
      toast(/** @type {Error} */ (error).message, "error");
    }
  };
  const load = async () => {
    try {
      scenarios = await api.get("api/scenarios");
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "error");
      return;
    }
    const chosen = scenario.value || store.get().hello?.run?.scenario || "community-5";
    scenario.replaceChildren(...scenarios.map((one) => h("option", {
      value: one.name, disabled: one.fault !== null, title: one.fault ?? one.description ?? "",
      text: one.fault ? `${one.name}: file has a fault` : `${one.name} (${one.num_agents})`,
    })));
    scenario.value = chosen;
    if (scenario.selectedIndex < 0) scenario.selectedIndex = 0;
    asked = "";
    await fillPolicies();
  };

  const form = h("form", {
    class: "card setup", "aria-label": "Start a community",
    onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      submit.disabled = true;
      submit.textContent = "Starting…";
      await startRun(context, {
        scenario: scenario.value, policy: policy.value, seed: Number(seed.value), days: days.value === "" ? null : Number(days.value),
      });
      submit.disabled = false;
      submit.textContent = "Start this community";
    },
  },
  h("h2", { text: "Community" }), field("Scenario", scenario), about, field("Policy", policy), unfit,
  h("div", { class: "pair" }, field("Seed", seed), field("Days", days)), submit);
  scenario.addEventListener("change", fillPolicies);

  /** @type {string | null} */
  let run = null;
  const stop = store.subscribe((state) => state.hello, (hello) => {
    if (!hello) return;
    if (hello.run && hello.run.id !== run) { // another community: show what it is
      run = hello.run.id;
      scenario.value = hello.run.scenario;
      policy.value = hello.policy?.name ?? "";
      seed.value = String(hello.run.seed);
      days.value = hello.run.days === null ? "" : String(hello.run.days);
    }
    load();
  });
  return { node: form, stop };
}

/**
 * @param {HTMLSelectElement} select
 * @param {HTMLDetailsElement} unfit
 * @param {PolicyEntry[]} entries
 * @param {string} running
 * @param {typeof import("../format.js")} format
 */
function showPolicies(select, unfit, entries, running, format) {
  const before = select.value;
  const groups = Object.entries(GROUPS).map(([kind, label]) => {
    const members = entries.filter((entry) => entry.kind === kind);
    return members.length === 0 ? null : h("optgroup", { label }, ...members.map((entry) => h("option", {
      value: entry.name, disabled: entry.fits === false, title: entry.reason ?? entry.title,
      text: `${entry.title}${entry.score === null ? "" : ` · ${format.number(entry.score, 2)}`}${entry.fits === false ? " – does not fit" : ""}`,
    })));
  });
  select.replaceChildren(.../** @type {HTMLElement[]} */ (groups.filter(Boolean)));
  const fitting = entries.filter((entry) => entry.fits !== false).map((entry) => entry.name);
  select.value = [before, running, ...fitting].find((name) => fitting.includes(name)) ?? "";
  const others = entries.filter((entry) => entry.fits === false);
  unfit.hidden = others.length === 0;
  unfit.replaceChildren(h("summary", { text: `${others.length} ${others.length === 1 ? "policy does" : "policies do"} not fit` }),
    h("ul", {}, ...others.map((entry) => h("li", { text: entry.reason ?? entry.name }))));
}
