/** What a number means, on hover and on focus, in the page's one tooltip. */

import { explain as show } from "../../tooltip.js";

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
