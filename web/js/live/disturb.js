/** Something happens to the community: a cloud, an outage, a price spike, a surge of demand, an open branch. */
import { field, h, setText } from "../dom.js";
import { toast } from "../toast.js";
import { act } from "./actions.js";

/** @typedef {import("../types.d.ts").Context} Context */

/**
 * @typedef {object} Kind
 * @property {string} label
 * @property {string} what
 * @property {{ label: string, value: number, min: number, max: number, step: number, text: (x: number) => string }} [magnitude]
 */

/** @type {Record<string, Kind>} */
const KINDS = {
  cloud: { label: "Cloud", what: "Solar power falls to a fraction of what it would be.", magnitude: { label: "Sun left", value: 0.2, min: 0, max: 1, step: 0.05, text: (x) => `${Math.round(100 * x)} %` } },
  islanding: { label: "Islanding", what: "The utility is gone; neighbours and batteries are all there is." },
  price_spike: { label: "Price spike", what: "The import price rises by this much.", magnitude: { label: "On top", value: 1, min: 0.05, max: 5, step: 0.05, text: (x) => `${x.toFixed(2)} EUR/kWh` } },
  demand_surge: { label: "Demand surge", what: "Everybody needs a multiple.", magnitude: { label: "Factor", value: 2, min: 1, max: 5, step: 0.1, text: (x) => `× ${x.toFixed(1)}` } },
  branch_outage: { label: "Open a branch", what: "What lies behind it is without supply." },
};

/** @param {Context} context */
export function disturb(context) {
  const { store, format } = context;
  let kind = "cloud";
  const buttons = Object.entries(KINDS).map(([name, { label }]) => h("button", {
    type: "button", class: "button", "aria-pressed": String(name === kind), text: label, dataset: { kind: name }, onclick: () => choose(name),
  }));
  const hours = h("input", { type: "number", name: "hours", min: 0.25, max: 1000, step: 0.25, value: "1", required: true });
  const magnitude = h("input", { type: "range", name: "magnitude" });
  const output = h("output", { class: "num" });
  const magnitudeField = field("Magnitude", magnitude, { output });
  const branch = h("select", { name: "branch" });
  const branchField = field("Branch", branch);
  const what = h("p", { class: "hint" });
  const active = h("ul", { class: "active" });
  const submit = h("button", { class: "button", type: "submit", text: "Let it happen" });
  magnitude.addEventListener("input", () => setText(output, KINDS[kind].magnitude?.text(Number(magnitude.value)) ?? ""));

  /** @param {string} name */
  const choose = (name) => {
    kind = name;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.kind === name));
    const entry = KINDS[name];
    setText(what, entry.what);
    magnitudeField.hidden = !entry.magnitude;
    branchField.hidden = name !== "branch_outage";
    if (entry.magnitude) {
      const { label, value, min, max, step, text } = entry.magnitude;
      Object.assign(magnitude, { min, max, step });
      magnitude.value = String(value);
      setText(/** @type {Node} */ (magnitudeField.querySelector("label span")), label);
      setText(output, text(value));
    }
  };
  choose(kind);

  const node = h("form", {
    class: "card disturb", "aria-label": "Disturb the community",
    onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      const minutes = store.get().hello?.scenario?.step_minutes ?? 15;
      const steps = Math.max(1, Math.round((Number(hours.value) * 60) / minutes));
      const done = await act(context, "perturb", {
        kind, steps, ...(KINDS[kind].magnitude ? { magnitude: Number(magnitude.value) } : {}),
        ...(kind === "branch_outage" ? { branch: Number(branch.value) } : {}),
      });
      if (done) toast(`${KINDS[kind].label} from the next step on, for ${format.duration(steps * minutes * 60)}.`);
    },
  },
  h("h2", { text: "Disturb it" }), h("div", { class: "button-row kinds", role: "group", "aria-label": "Kind" }, ...buttons), what,
  h("div", { class: "pair" }, field("For, hours", hours), magnitudeField, branchField), submit, active);

  const stops = [
    store.subscribe((state) => state.hello?.feeder ?? null, (feeder) => {
      branch.replaceChildren(...(feeder?.branches.name ?? []).map((name, i) => (i === 0 ? null : h("option", { value: String(i), text: name })))
        .filter((option) => option !== null));
    }),
    store.subscribe((state) => state.frame?.perturbations ?? state.status?.perturbations ?? null, (list) => {
      active.replaceChildren(...(list ?? []).map((one) => {
        const minutes = store.get().hello?.scenario?.step_minutes ?? 15;
        return h("li", { class: "badge fair" }, h("span", { class: "dot" }), `${KINDS[one.kind]?.label ?? one.kind}: ${one.steps_left ? `${format.duration(one.steps_left * minutes * 60)} left` : "last step"}`);
      }));
    }),
    store.subscribe((state) => state.connection.state === "open" && ["running", "paused"].includes(state.status?.state ?? ""), (able) => { submit.disabled = !able; }),
  ];
  return { node, stop: () => stops.forEach((end) => end()) };
}
