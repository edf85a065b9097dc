/** Inputs bound to a path of the scenario; the server's faults are shown at them. */

import { h, uid } from "../../dom.js";
import { explain } from "../kit/explain.js";
import { scrolling } from "../kit/scrolling.js";
import { parseRange, rangeText } from "./draft.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {object} Options
 * @property {string} label
 * @property {"range"|"number"|"text"|"choice"} [kind]
 * @property {string[]} [options] of a choice
 * @property {boolean} [optional] whether an empty choice is offered
 * @property {string} [hint]
 * @property {string} [what] a sentence about it
 * @property {string} [unit]
 * @property {boolean} [cell] for a table: the label is for screen readers
 * @property {string} [placeholder]
 * @property {(value: any) => string} [show] the value as text
 * @property {(text: string) => any} [read] text as value
 * @property {(value: any) => void} [write] instead of setting the path
 */

/**
 * @param {Model} model
 * @param {string} path
 * @param {Options} options
 */
export function bound(model, path, options) {
  const { label, kind = "text", cell, unit, hint, what } = options;
  const id = uid("edit");
  const value = model.get(path);
  const show = options.show ?? ((/** @type {any} */ x) => (kind === "range" ? rangeText(x) : x === null || x === undefined ? "" : String(x)));
  const read = options.read ?? ((/** @type {string} */ text) => (kind === "range" || kind === "number" ? parseRange(text) : text === "" && options.optional ? null : text));
  const write = options.write ?? ((/** @type {any} */ x) => model.set(path, x));
  const input = kind === "choice"
    ? h("select", { id, class: "input", onchange: () => write(read(input.value)) },
      options.optional ? h("option", { value: "", text: options.placeholder ?? "none" }) : null,
      [...new Set([...(options.options ?? []), ...(value && !options.options?.includes(show(value)) ? [show(value)] : [])])].map((option) => h("option", { value: option, text: option, selected: option === show(value) })))
    : h("input", { id, class: "input", type: "text", inputmode: kind === "text" ? null : "decimal", value: show(value), placeholder: options.placeholder, autocomplete: "off", oninput: () => write(read(input.value)) });
  const name = h("span", {}, label, unit ? h("span", { class: "faint", text: ` ${unit}` }) : null);
  if (what) explain(name, { title: label, unit, text: what });
  return h("div", { class: cell ? "field cell" : "field", dataset: { path } },
    h("label", { for: id, class: cell ? "sr-only" : null }, cell ? label : name), input, hint && h("span", { class: "hint", text: hint }), h("div", { class: "faults" }));
}

/**
 * Show faults at their fields; the others' messages go.
 * @param {HTMLElement} root
 * @param {Map<string, string[]>} faults by path
 */
export function showFaults(root, faults) {
  for (const box of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-path]"))) {
    const messages = faults.get(box.dataset.path ?? "") ?? [];
    const list = box.querySelector(":scope > .faults");
    const text = messages.join("\n");
    if (!list || list.getAttribute("data-text") === text) continue;
    list.setAttribute("data-text", text);
    list.id ||= uid("faults");
    list.replaceChildren(...messages.map((message) => h("p", { class: "fault", text: message })));
    box.classList.toggle("invalid", messages.length > 0);
    const input = box.querySelector(":scope > input, :scope > select");
    if (messages.length) {
      input?.setAttribute("aria-invalid", "true");
      input?.setAttribute("aria-describedby", list.id);
    } else {
      input?.removeAttribute("aria-invalid");
      input?.removeAttribute("aria-describedby");
    }
  }
}

/**
 * Go to the first field with a fault.
 * @param {HTMLElement} root
 */
export function goToFault(root) {
  const box = root.querySelector(".fault")?.closest(".field, [data-path]");
  box?.scrollIntoView({ block: "center" });
  /** @type {HTMLElement|null|undefined} */ (box?.querySelector("input, select"))?.focus({ preventScroll: true });
}

/**
 * Paths the form has a place for.
 * @param {HTMLElement} root
 */
export function knownPaths(root) {
  return new Set([.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-path]"))].map((box) => box.dataset.path ?? ""));
}

/**
 * A list of rows as a table, each with a way to remove it.
 * @param {Model} model
 * @param {string} path of the list
 * @param {{heads: [string, string?][], row: (path: string, k: number) => Node[], blank: () => any, add: string, least?: number, caption: string}} options
 * @param {() => void} redraw
 */
export function rows(model, path, { heads, row, blank, add, least = 0, caption }, redraw) {
  const now = () => /** @type {any[]} */ (model.get(path) ?? []); // with what was typed since this was drawn
  const list = now();
  const change = (/** @type {any[]} */ next) => { model.set(path, next); redraw(); };
  return h("div", { dataset: { path }, class: "edit-rows" },
    list.length ? scrolling(h("table", { class: "table edit" }, h("caption", { class: "sr-only", text: caption }),
      h("thead", {}, h("tr", {}, heads.map(([label, unit]) => h("th", { scope: "col" }, label, unit ? h("small", { class: "faint", text: ` ${unit}` }) : null)), h("th", {}, h("span", { class: "sr-only", text: "Remove" })))),
      h("tbody", {}, list.map((_, k) => h("tr", { dataset: { path: `${path}.${k}` } }, row(`${path}.${k}`, k).map((cell) => h("td", {}, cell)),
        h("td", {}, h("button", { type: "button", class: "button quiet small", disabled: list.length <= least, "aria-label": `Remove row ${k + 1}`, title: "Remove", text: "✕", onclick: () => change(now().filter((_x, i) => i !== k)) }), h("div", { class: "faults" }))))))) : null,
    h("div", { class: "faults" }),
    h("button", { type: "button", class: "button small", text: add, onclick: () => change([...now(), blank()]) }));
}
