/** What a number means, on hover and on focus, in the page's one tooltip. */

import { explain as show, hideTip, showTip } from "../../tooltip.js";

/**
 * @typedef {{title: string, text?: string, unit?: string, formula?: string}} Explanation
 */

/**
 * @template {HTMLElement|SVGElement} E
 * @param {E} element
 * @param {Explanation} about
 * @returns {E} the element
 */
export function explain(element, { title, unit, text, formula }) {
  show(element, { title: unit ? `${title}, ${unit}` : title, what: text, formula });
  return element;
}

/**
 * What an input is for, while the pointer is over its field or the input has the focus by keyboard.
 * @param {HTMLElement} box
 * @param {HTMLElement} input
 * @param {Explanation} about
 */
export function explainField(box, input, { title, text, formula }) {
  box.dataset.explained = "";
  const open = () => showTip({ title, what: text, formula }, box.getBoundingClientRect());
  input.setAttribute("aria-description", text ?? "");
  box.addEventListener("pointerenter", (event) => event.pointerType !== "touch" && open());
  box.addEventListener("pointerleave", hideTip);
  box.addEventListener("pointerdown", hideTip);
  input.addEventListener("keyup", (event) => event.key === "Tab" && open());
  input.addEventListener("blur", hideTip);
}
