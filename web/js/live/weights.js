/** Weights of the reward and of the stability index, changed while the community runs. */
import { field, h, setText } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { explainField } from "../views/kit/explain.js";
import { act } from "./actions.js";

/** @typedef {import("../types.d.ts").Context} Context */

const GROUPS = /** @type {const} */ ({
  rewards: { title: "Reward", names: ["stability", "efficiency", "cost", "cooperation"], most: 2 },
  stability: { title: "Stability index", names: ["voltage", "loading", "balance", "reserve"], most: 1 },
});

/** @param {Context} context */
export function weights(context) {
  const { store, format } = context;
  /** @type {Record<string, Record<string, { input: HTMLInputElement, output: HTMLOutputElement }>>} */
  const controls = {};
  const groups = Object.entries(GROUPS).map(([group, { title, names, most }]) => {
    controls[group] = {};
    const fields = names.map((name) => {
      const input = h("input", { type: "range", min: 0, max: most, step: 0.05, name: `${group}.${name}` });
      const output = h("output", { class: "num" });
      input.addEventListener("input", () => setText(output, format.number(Number(input.value), 2)));
      input.addEventListener("change", () => act(context, "weights", { [group]: { [name]: Number(input.value) } }));
      input.addEventListener("blur", () => show(store.get().status?.weights ?? null)); // what the server made of it
      controls[group][name] = { input, output };
      const box = field(name, input, { output });
      const { title: what, what: text, formula } = EXPLAIN[group === "rewards" ? `reward_${name}` : name];
      explainField(box, input, { title: `Weight of: ${what}`, text, formula });
      return box;
    });
    return h("fieldset", {}, h("legend", { text: title }), ...fields);
  });
  const node = h("details", { class: "card weights" }, h("summary", {}, h("h2", { text: "Weights" })), ...groups,
    h("p", { class: "hint", text: "Rewards shown follow the weights at once; a trained policy keeps what it learned. Stability weights are normalised to sum 1." }));
  const show = (/** @type {import("../types.d.ts").StatusBody["weights"]} */ now) => {
    for (const [group, fields] of Object.entries(controls)) {
      for (const [name, { input, output }] of Object.entries(fields)) {
        const value = now?.[/** @type {"rewards" | "stability"} */ (group)][name];
        if (value === undefined || document.activeElement === input) continue;
        input.max = String(Math.max(Number(input.max), value));
        input.value = String(value);
        setText(output, format.number(value, 2));
      }
    }
  };
  return { node, stop: store.subscribe((state) => state.status?.weights ?? null, show) };
}
