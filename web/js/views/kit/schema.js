/** Inputs from a JSON Schema: one for each simple field, empty for the default, with the schema's words as hint. */

import { field, h } from "../../dom.js";
import { explainField } from "./explain.js";

/**
 * @typedef {{type?: string, enum?: string[], anyOf?: any[], $ref?: string, description?: string, default?: any, minimum?: number,
 *   maximum?: number, exclusiveMinimum?: number, exclusiveMaximum?: number, items?: any}} Property
 */

/** Names that say too little to people. @type {Record<string, string>} */
const LABELS = {
  num_grids: "Communities at once", max_minutes: "At most, minutes", share_parameters: "One network for all", hold_h: "Hold an action, h", clock: "Measure time by",
  gamma: "Discount γ", lmbda: "Advantage's λ", max_grad_norm: "Largest gradient", warm_start: "Begin with policy", shaping_eur_per_kwh: "Shaping, EUR/kWh",
  keep_checkpoints: "Checkpoints kept", checkpoint_minutes: "Checkpoint every, min", clip_epsilon: "Clip range ε", entropy_coeff: "Entropy weight", critic_coeff: "Value loss weight",
  target_kl: "Largest KL divergence", initial_std: "Exploration at first", epsilon_start: "Random at first, ε", epsilon_end: "Random at last, ε", epsilon_until: "Until part of the run",
  adam_betas: "Adam's β₁, β₂", patience: "Stop after, validations",
};
/** Values of a choice. @type {Record<string, string>} */
const CHOICES = { wall: "the clock on the wall", cpu: "CPU time" };

/** @param {string} name `num_grids` → `Communities at once`, `final_learning_rate` → `Final learning rate` */
export const label = (name) => LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/**
 * The kind of input a property wants; null where it is a table or something else that is no single value.
 * @param {Property} property
 * @returns {"number"|"integer"|"boolean"|"choice"|"list"|"text"|null}
 */
export function kindOf(property) {
  if (property.$ref) return null;
  if (property.enum) return "choice";
  const types = [property.type, ...(property.anyOf ?? []).map((option) => option.type)].filter((type) => type && type !== "null");
  if (types.includes("integer")) return "integer";
  if (types.includes("number")) return "number";
  if (types.includes("boolean")) return "boolean";
  if (types.includes("array")) return "list";
  return types.includes("string") ? "text" : null;
}

/**
 * What was typed, as the value to send; undefined where the default is to count.
 * @param {string} text
 * @param {ReturnType<typeof kindOf>} kind
 * @returns {any}
 */
export function valueOf(text, kind) {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  if (kind === "boolean") return trimmed === "true";
  if (kind === "list") return trimmed.split(/[\s,;]+/).map(Number);
  if (kind === "integer" || kind === "number") return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
  return trimmed;
}

/**
 * @param {Record<string, Property>} properties
 * @param {string[]} names which of them, in this order
 * @param {string} path in front of their names, e.g. `ppo.`
 * @param {string} [empty] what an empty field means
 */
export function schemaFields(properties, names, path = "", empty = "preset") {
  /** @type {{name: string, kind: ReturnType<typeof kindOf>, input: HTMLInputElement|HTMLSelectElement}[]} */
  const inputs = [];
  const nodes = names.flatMap((name) => {
    const property = properties[name];
    const kind = property && kindOf(property);
    if (!kind) return [];
    const options = kind === "boolean" ? ["true", "false"] : (property.enum ?? []);
    const input = kind === "choice" || kind === "boolean"
      ? h("select", {}, h("option", { value: "", text: empty }), options.map((option) => h("option", { value: option, text: kind === "boolean" ? (option === "true" ? "yes" : "no") : (CHOICES[option] ?? option) })))
      : h("input", { type: kind === "number" || kind === "integer" ? "number" : "text", step: kind === "integer" ? 1 : "any", min: property.minimum ?? property.exclusiveMinimum, max: property.maximum ?? property.exclusiveMaximum, placeholder: empty });
    inputs.push({ name, kind, input });
    const box = field(label(name), input);
    box.dataset.field = path + name;
    if (property.description) explainField(box, input, { title: label(name), text: property.description });
    return [box];
  });
  return {
    nodes,
    /** @returns {Record<string, any>} what was filled in */
    values: () => Object.fromEntries(inputs.map(({ name, kind, input }) => [name, valueOf(input.value, kind)]).filter(([, value]) => value !== undefined)),
  };
}
