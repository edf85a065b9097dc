/**
 * Elements in one expression. `class`, `text`, `on…` handlers, `dataset`, `vars` (custom CSS properties), everything
 * else an attribute.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Child | Child[]} Children */
/** @typedef {Record<string, any>} Props */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Element} element
 * @param {Props} props
 * @param {Children[]} children
 */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = String(value);
    else if (name === "dataset") Object.assign(/** @type {HTMLElement} */ (element).dataset, value);
    else if (name === "vars") {
      for (const [key, x] of Object.entries(value)) /** @type {HTMLElement} */ (element).style.setProperty(key, String(x));
    } else if (name === "value") /** @type {HTMLInputElement} */ (element).value = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
  return element;
}

/**
 * An HTML element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  return /** @type {HTMLElementTagNameMap[K]} */ (fill(document.createElement(tag), props, children));
}

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...Children} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props = {}, ...children) {
  return /** @type {SVGElementTagNameMap[K]} */ (fill(document.createElementNS(SVG, tag), props, children));
}

let count = 0;
/** @param {string} stem */
export const uid = (stem) => `${stem}-${(count += 1)}`;

/**
 * Write text only where it changed, as writing costs layout.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * A labelled input, select or textarea.
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 * @param {{ hint?: string, output?: Node }} [more]
 */
export function field(label, control, { hint, output } = {}) {
  control.id ||= uid("field");
  if (!["range", "checkbox"].includes(/** @type {HTMLInputElement} */ (control).type)) control.classList.add("input");
  const hintId = hint ? uid("hint") : null;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" },
    h("label", { for: control.id }, h("span", { text: label }), output),
    control, hint && h("span", { class: "hint", id: hintId, text: hint }));
}

/** Paths of 16 × 16 icons, stroked. */
const ICONS = {
  play: "M5 3.2v9.6L12.5 8z", pause: "M5 3v10M11 3v10", step: "M4 3.2v9.6L10 8zM12.5 3v10", stop: "M4 4h8v8H4z",
  reset: "M3.2 8a4.8 4.8 0 1 0 1.6-3.6M3 2.6v2.6h2.6", close: "M4 4l8 8M12 4l-8 8", sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13 9.6A5.6 5.6 0 1 1 6.4 3a4.6 4.6 0 0 0 6.6 6.6z", help: "M6 6.2a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.4M8 12v.4M8 1.6a6.4 6.4 0 1 0 0 12.8A6.4 6.4 0 0 0 8 1.6",
  plus: "M8 3v10M3 8h10", minus: "M3 8h10", fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  cloud: "M4.6 12.5h6.6a2.8 2.8 0 0 0 .3-5.6 4 4 0 0 0-7.6 1A2.4 2.4 0 0 0 4.6 12.5z", table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M6.5 3.5v9",
  download: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13.2h10",
};

/**
 * A decorative icon.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  return s("svg", {
    viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linecap": "round",
    "stroke-linejoin": "round", "aria-hidden": "true",
  }, s("path", { d: ICONS[name] }));
}
