/** Small forms: their values, and faults at the field they belong to. */

import { h, uid } from "../../dom.js";

/**
 * Boxes to tick, in groups.
 * @param {string} legend
 * @param {string} name
 * @param {{label: string, items: {value: string, label?: string, note?: string, title?: string}[]}[]} groups
 * @param {Set<string>} ticked changed as boxes are
 * @param {() => void} [onchange]
 */
export function tickList(legend, name, groups, ticked, onchange = () => {}) {
  return h("fieldset", { class: "ticks", dataset: { field: name } }, h("legend", { text: legend }),
    ...groups.filter((group) => group.items.length).flatMap((group) => [
      group.label && h("span", { class: "tick-group", text: group.label }),
      ...group.items.map((item) => h("label", { class: "check", title: item.title },
        h("input", {
          type: "checkbox", name, value: item.value, checked: ticked.has(item.value),
          onchange: (/** @type {any} */ event) => { event.target.checked ? ticked.add(item.value) : ticked.delete(item.value); onchange(); },
        }), h("span", { text: item.label ?? item.value }), item.note && h("span", { class: "note num", text: item.note }))),
    ]));
}

/**
 * A field by the name that the server gives it in its faults.
 * @param {string} name
 * @param {HTMLElement} box
 */
export function named(name, box) {
  box.dataset.field = name;
  return box;
}

/**
 * Show a fault at its field or the nearest above it (`hidden` for `hidden.0`), or above the form's button where it has none.
 * @param {HTMLFormElement} form
 * @param {{message: string, field?: string|null}} error
 */
export function showFault(form, error) {
  clearFaults(form);
  const keys = error.field?.split(".") ?? [];
  const boxes = keys.map((_, k) => form.querySelector(`[data-field="${CSS.escape(keys.slice(0, keys.length - k).join("."))}"]`));
  const box = boxes.find((found) => found !== null);
  const fault = h("p", { class: "fault", id: uid("fault"), role: "alert", text: error.message });
  if (box) {
    const folded = box.closest("details");
    if (folded) folded.open = true;
    box.classList.add("invalid");
    box.append(fault);
    box.scrollIntoView({ block: "nearest" });
    const input = box.querySelector("input, select, textarea");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", fault.id);
  } else (form.querySelector(".faults") ?? form).append(fault);
}

/** @param {HTMLFormElement} form */
export function clearFaults(form) {
  for (const fault of form.querySelectorAll(".fault")) fault.remove();
  for (const box of form.querySelectorAll(".invalid")) box.classList.remove("invalid");
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/**
 * The number in an input; undefined where it is empty, so that the server's default counts.
 * @param {HTMLInputElement} input
 */
export const numberOf = (input) => (input.value.trim() === "" ? undefined : Number(input.value));
