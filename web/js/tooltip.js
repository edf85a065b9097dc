/** One tooltip for the page: on hover and on focus it says what a number is, its unit and its formula. */
import { h } from "./dom.js";

/**
 * @typedef {object} Tip
 * @property {string} title
 * @property {string} [what] a sentence
 * @property {string} [formula]
 * @property {[string, string][]} [rows] names and values
 */

/** @type {HTMLElement | null} */
let box = null;
/** @type {Element | null} */
let owner = null;
/** @type {(() => Tip | null) | null} what says it anew */
let telling = null;
/** @type {{ left: number, top: number, right: number, bottom: number }} */
let beside;

function tooltip() {
  if (!box) {
    box = h("div", { class: "tooltip", role: "tooltip", id: "tooltip", hidden: true });
    document.body.append(box);
    addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
    addEventListener("scroll", hideTip, { capture: true, passive: true });
  }
  return box;
}

/** @param {HTMLElement} node @param {Tip} tip */
function write(node, tip) {
  node.replaceChildren(h("strong", { text: tip.title }), tip.what ? h("span", { text: tip.what }) : "",
    tip.formula ? h("span", { class: "formula", text: tip.formula }) : "",
    tip.rows ? h("dl", {}, ...tip.rows.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { class: "num", text: value })])) : "");
}

/**
 * Show a tooltip beside a point or an element.
 * @param {Tip | (() => Tip | null)} tip a function is asked again by `renewTip`; null: nothing to tell
 * @param {{ left: number, top: number, right: number, bottom: number }} place in the window
 */
export function showTip(tip, place) {
  const now = typeof tip === "function" ? tip() : tip;
  if (!now) return;
  const node = tooltip();
  telling = typeof tip === "function" ? tip : null;
  beside = place;
  write(node, now);
  node.hidden = false;
  put(node);
}

/** @param {HTMLElement} node */
function put(node) {
  const place = beside;
  const { width, height } = node.getBoundingClientRect();
  const below = place.bottom + 8 + height < innerHeight;
  const left = Math.min(Math.max(8, (place.left + place.right) / 2 - width / 2), innerWidth - width - 8);
  node.style.left = `${left}px`;
  node.style.top = `${Math.max(8, below ? place.bottom + 8 : place.top - height - 8)}px`;
}

/** Another step was taken: numbers in an open tooltip are its. */
export function renewTip() {
  if (!box || box.hidden || !telling) return;
  const now = telling();
  if (!now) return hideTip();
  const { height } = box.getBoundingClientRect();
  write(box, now);
  if (box.getBoundingClientRect().height !== height) put(box);
}

export function hideTip() {
  if (box) box.hidden = true;
  telling = null;
  owner?.removeAttribute("aria-describedby");
  owner = null;
}

/**
 * Explain an element on hover and focus. It becomes focusable unless it already is.
 * @param {HTMLElement | SVGElement} element
 * @param {Tip | (() => Tip)} tip
 */
export function explain(element, tip) {
  element.dataset.explained = "";
  const show = () => {
    owner = element;
    showTip(tip, element.getBoundingClientRect());
    element.setAttribute("aria-describedby", "tooltip");
  };
  element.addEventListener("pointerenter", (event) => /** @type {PointerEvent} */ (event).pointerType !== "touch" && show());
  element.addEventListener("pointerleave", hideTip);
  element.addEventListener("focus", () => element.matches(":focus-visible") && show());
  element.addEventListener("blur", hideTip);
  element.addEventListener("click", show);
  if (!element.matches("button, a, input, select, [tabindex]")) element.setAttribute("tabindex", "0");
}
