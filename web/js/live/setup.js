/** The form that begins a community: scenario, policy, seed, days. Policies that do not fit say why. */
import { field, h, setText } from "../dom.js";
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
  const fault = h("div", { role: "alert" });
  const submit = h("button", { class: "button", type: "submit", text: "Start this community", disabled: true });
  /** @type {ScenarioEntry[]} */
  let scenarios = [];
  let asked = "";
  let listed = ""; // the scenario whose policies are shown
  let starting = false;
  /** @type {string | null} the policy the user chose, which other scenarios keep where it fits */
  let own = null;

  const ready = () => {
    submit.disabled = starting || !policy.value || listed !== scenario.value;
    setText(submit, starting ? "Starting…" : "Start this community");
  };

  const fillPolicies = async () => {
    const name = scenario.value;
    const entry = scenarios.find((one) => one.name === name);
    about.textContent = entry?.description ?? "";
    ready();
    if (!name || asked === name) return;
    asked = name;
    try {
      /** @type {PolicyEntry[]} */
      const entries = await api.get(`api/policies?scenario=${encodeURIComponent(name)}`);
      if (asked !== name) return;
      const { hello } = store.get();
      showPolicies(policy, unfit, entries, format);
      policy.value = preferred(entries, name, { own, running: hello?.policy?.name ?? null, here: hello?.run?.scenario === name }) ?? "";
      listed = name;
      ready();
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
      if (submit.disabled) return;
      fault.replaceChildren();
      starting = true;
      ready();
      await startRun(context, {
        scenario: scenario.value, policy: policy.value, seed: Number(seed.value), days: days.value === "" ? null : Number(days.value),
      }, (text) => fault.replaceChildren(h("p", { class: "fault", text })));
      starting = false;
      ready();
    },
    oninput: () => fault.replaceChildren(),
  },
  h("h2", { text: "Community" }), field("Scenario", scenario), about, field("Policy", policy), unfit,
  h("div", { class: "pair" }, field("Seed", seed), field("Days", days)), fault, submit);
  scenario.addEventListener("change", fillPolicies);
  policy.addEventListener("change", () => { own = policy.value; });

  /** @type {string | null} */
  let run = null;
  const stop = store.subscribe((state) => state.hello, (hello) => {
    if (!hello) return;
    if (hello.run && hello.run.id !== run) { // another community: show what it is
      run = hello.run.id;
      scenario.value = hello.run.scenario;
      if (own !== hello.policy?.name) own = null;
      fault.replaceChildren();
      seed.value = String(hello.run.seed);
      days.value = hello.run.days === null ? "" : String(hello.run.days);
    }
    load();
  });
  return { node: form, stop };
}

/**
 * The policy to begin with: the user's own choice, that of the running community of this scenario, the best one trained
 * on it, the running one, a rule that knows the tariff. A random one only a user asks for.
 * @param {PolicyEntry[]} entries
 * @param {string} scenario
 * @param {{ own: string | null, running: string | null, here: boolean }} known `here`: the running community is of this scenario
 * @returns {string | null}
 */
export function preferred(entries, scenario, { own, running, here }) {
  const fitting = entries.filter((entry) => entry.fits !== false);
  const trained = fitting.filter((entry) => entry.kind === "policy" && entry.scenario === scenario)
    .sort((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity)).map(({ name }) => name);
  const names = fitting.map(({ name }) => name);
  const unasked = running === "random" ? null : running;
  const wanted = [own, here ? running : null, trained[0], unasked, "time-of-use", ...names.filter((name) => name !== "random")];
  return wanted.find((name) => name && names.includes(name)) ?? null;
}

/**
 * @param {HTMLSelectElement} select
 * @param {HTMLDetailsElement} unfit
 * @param {PolicyEntry[]} entries
 * @param {typeof import("../format.js")} format
 */
function showPolicies(select, unfit, entries, format) {
  const groups = Object.entries(GROUPS).map(([kind, label]) => {
    const members = entries.filter((entry) => entry.kind === kind);
    return members.length === 0 ? null : h("optgroup", { label }, ...members.map((entry) => h("option", {
      value: entry.name, disabled: entry.fits === false, title: entry.reason ?? entry.title,
      text: `${entry.title}${entry.score === null ? "" : ` · ${format.number(entry.score, 2)}`}${entry.fits === false ? " – does not fit" : ""}`,
    })));
  });
  select.replaceChildren(.../** @type {HTMLElement[]} */ (groups.filter(Boolean)));
  const others = entries.filter((entry) => entry.fits === false);
  unfit.hidden = others.length === 0;
  unfit.replaceChildren(h("summary", { text: `${others.length} ${others.length === 1 ? "policy does" : "policies do"} not fit` }),
    h("ul", {}, ...others.map((entry) => h("li", { text: entry.reason ?? entry.name }))));
}
