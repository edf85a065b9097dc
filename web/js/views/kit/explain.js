/** What a number means, on hover and on focus. */

/**
 * @typedef {{title: string, text?: string, unit?: string, formula?: string}} Explanation
 */

/**
 * Explain an element; it can be reached by keyboard then.
 * @template {Element} E
 * @param {E} element
 * @param {Explanation} about
 * @returns {E}
 */
export function explain(element, about) {
  const text = [about.title + (about.unit ? ` [${about.unit}]` : ""), about.text, about.formula].filter(Boolean).join("\n");
  element.setAttribute("title", text);
  if (!element.matches("button, a, input, select, [tabindex]")) element.setAttribute("tabindex", "0");
  return element;
}
