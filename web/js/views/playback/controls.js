/** Play, pause, step, jump, speed; and the same by keyboard. */

import { h, icon, s, setText } from "../../dom.js";
import { SPEEDS } from "./player.js";

/**
 * @typedef {object} Actions
 * @property {() => void} toggle
 * @property {(by: number) => void} step
 * @property {(direction: 1|-1) => void} jump to the next or previous event
 * @property {(end: "first"|"last") => void} end
 * @property {(speed: number) => void} speed
 */

/** @param {string} d */
const glyph = (d) => s("svg", { viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" }, s("path", { d }));

/**
 * @param {Actions} actions
 * @param {number} speed steps a second
 */
export function controls(actions, speed) {
  const button = (/** @type {Node} */ picture, /** @type {string} */ label, /** @type {string} */ key, /** @type {() => void} */ act, more = "") =>
    h("button", { type: "button", class: `button icon ${more}`, "aria-label": label, title: `${label} (${key})`, "aria-keyshortcuts": key, onclick: act }, picture);
  const play = h("button", { type: "button", class: "button primary icon", onclick: actions.toggle });
  const [day, year, clock] = ["", "player-year", "player-clock"].map((name) => h("span", { class: name }));
  const time = h("span", { class: "player-time num" }, h("span", {}, day, year), " ", clock);
  const place = h("span", { class: "player-place num muted" });
  const select = h("select", { class: "input", "aria-label": "Speed, steps a second", onchange: () => actions.speed(Number(select.value)) },
    SPEEDS.map((value) => h("option", { value: String(value), text: `${value}/s`, selected: value === speed })));
  const node = h("div", { class: "player-controls", role: "group", "aria-label": "Playback" },
    button(glyph("M12 3.5v9L6 8zM4 3.5v9"), "To the beginning", "Home", () => actions.end("first"), "player-end"),
    button(glyph("M11 3.5v9L5 8z"), "One step back", "ArrowLeft", () => actions.step(-1)), play,
    button(glyph("M5 3.5v9L11 8z"), "One step on", "ArrowRight", () => actions.step(1)),
    button(glyph("M4 3.5v9L10 8zM12 3.5v9"), "To the end", "End", () => actions.end("last"), "player-end"),
    h("span", { class: "player-gap" }),
    button(glyph("M13 8H4M7.5 4.5 4 8l3.5 3.5M2 3v10"), "Previous event", "P", () => actions.jump(-1)),
    button(glyph("M3 8h9M8.5 4.5 12 8l-3.5 3.5M14 3v10"), "Next event", "N", () => actions.jump(1)),
    h("span", { class: "player-gap" }), time, place, h("label", { class: "inline-choice push" }, h("span", { class: "muted", text: "Speed" }), select));
  const setPlaying = (/** @type {boolean} */ playing) => {
    play.replaceChildren(icon(playing ? "pause" : "play"));
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    play.title = `${playing ? "Pause" : "Play"} (Space)`;
  };
  setPlaying(false);
  const say = (/** @type {string} */ date, /** @type {string} */ hour, /** @type {string} */ where) => {
    const cut = date.lastIndexOf(" ");
    setText(day, date.slice(0, cut));
    setText(year, date.slice(cut));
    setText(clock, hour);
    setText(place, where);
  };
  return { node, setPlaying, say };
}

/**
 * Keys of the view; what is typed into a field stays there.
 * @param {Actions} actions
 * @returns {(event: KeyboardEvent) => void}
 */
export function keys(actions) {
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const map = {
    ArrowLeft: (event) => actions.step(event.shiftKey ? -10 : -1), ArrowRight: (event) => actions.step(event.shiftKey ? 10 : 1),
    " ": () => actions.toggle(), n: () => actions.jump(1), p: () => actions.jump(-1), Home: () => actions.end("first"), End: () => actions.end("last"),
  };
  return (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (target.closest("input:not([type=range]), select, textarea, [contenteditable]")) return;
    if (target.closest("svg [tabindex], [role=application], canvas[tabindex]") && event.key.startsWith("Arrow")) return; // the grid moves its own focus
    if (event.key === " " && target.closest("button, a, [role=button]")) return;
    const act = map[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  };
}
