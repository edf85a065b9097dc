/** Clock, pause, step, stop, reset and speed: what drives the run that is there. */
import { h, icon, setText, uid } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { pick } from "../store.js";
import { explain } from "../tooltip.js";
import { explainField } from "../views/kit/explain.js";
import { act } from "./actions.js";

/** @typedef {import("../types.d.ts").Context} Context */

const SLOWEST = 0.1;
const FASTEST = 100;
/** The slider is logarithmic, 0 to 300; one further notch is `max`. */
const NOTCHES = 300;

/** @param {number | "max"} speed */
const toSlider = (speed) => (speed === "max" ? NOTCHES : Math.round((NOTCHES * Math.log(speed / SLOWEST)) / Math.log(FASTEST / SLOWEST)));
/** @param {number} notch */
const fromSlider = (notch) => Number((SLOWEST * (FASTEST / SLOWEST) ** (notch / NOTCHES)).toPrecision(2));

/** @param {Context} context */
export function transport(context) {
  const { store, format } = context;
  const clock = h("span", { class: "clock num", text: "–" });
  const date = h("span", { class: "muted", text: "" });
  const state = h("span", { class: "badge" }, h("span", { class: "dot" }), h("span", { text: "–" }));
  const progress = h("span", { class: "faint num" });
  explain(progress, EXPLAIN.step);
  const play = h("button", { class: "button primary play", title: "Space", onclick: () => toggle(context) });
  const button = (/** @type {any} */ glyph, /** @type {string} */ label, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
    h("button", { class: "button icon", "aria-label": label, title, onclick }, icon(glyph));
  const step = button("step", "Step", "One step (→)", () => single(context));
  const stop = button("stop", "Stop", "Stop the run", () => act(context, "stop"));
  const reset = button("reset", "Reset", "Begin again, same seed", () => act(context, "reset"));
  const { node: speed, show: showSpeed } = speedControl(context);

  const node = h("section", { class: "card transport", "aria-label": "Simulation" },
    h("div", { class: "when" }, clock, date, state, progress),
    h("div", { class: "button-row" }, play, step, stop, reset), speed);

  const stops = [
    store.subscribe(pick("status", "connection", "frame"), () => {
      const { status, connection, frame } = store.get();
      const online = connection.state === "open";
      const now = status?.state ?? "stopped";
      play.replaceChildren(icon(now === "running" ? "pause" : "play"), h("span", { text: now === "running" ? "Pause" : now === "paused" ? "Resume" : "Start" }));
      play.disabled = !online || now === "starting";
      step.disabled = !online || now !== "paused";
      stop.disabled = !online || !["running", "paused", "starting"].includes(now);
      reset.disabled = !online || !["running", "paused", "finished"].includes(now);
      state.className = `badge ${now === "running" ? "good" : now === "paused" || now === "starting" ? "fair" : ""}`;
      setText(/** @type {HTMLElement} */ (state.lastElementChild), now);
      setText(clock, format.simClock(frame?.sim_time));
      setText(date, format.simDate(frame?.sim_time));
      setText(progress, frame ? `step ${format.number(frame.step, 0)} · episode ${frame.episode + 1}` : "no step yet");
    }),
    store.subscribe((s) => s.status?.speed, (value) => value !== undefined && showSpeed(value)),
    store.subscribe((s) => Math.round((s.status?.progress.steps_per_s ?? 0) * 10), (tenths) => { node.title = `${tenths / 10} steps a second reached`; }),
  ];
  return { node, stop: () => stops.forEach((end) => end()) };
}

/** @param {Context} context */
function speedControl(context) {
  const { format } = context;
  const slider = h("input", { type: "range", min: 0, max: NOTCHES, step: 1, id: uid("speed"), "aria-label": "Speed, steps a second" });
  const output = h("output", { class: "num", for: slider.id });
  const most = h("input", { type: "checkbox" });
  const show = (/** @type {number | "max"} */ speed) => {
    if (document.activeElement !== slider || speed === "max") slider.value = String(toSlider(speed));
    most.checked = speed === "max";
    slider.disabled = speed === "max";
    say(speed);
  };
  const say = (/** @type {number | "max"} */ speed) => {
    const text = speed === "max" ? "as fast as possible" : `${format.number(speed, speed < 10 ? 1 : 0)} steps/s`;
    setText(output, text);
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", () => say(fromSlider(Number(slider.value))));
  slider.addEventListener("change", () => act(context, "speed", { speed: fromSlider(Number(slider.value)) }));
  most.addEventListener("change", () => act(context, "speed", { speed: most.checked ? "max" : fromSlider(Math.min(Number(slider.value), toSlider(10))) }));
  const node = h("div", { class: "field speed" }, h("label", { for: slider.id }, h("span", { text: "Speed" }), output), slider,
    h("label", { class: "check" }, most, "as fast as possible"));
  explainField(node, slider, { title: EXPLAIN.speed.title, text: EXPLAIN.speed.what });
  return { node, show };
}

/**
 * Space: pause, resume, or start where nothing runs: what ran last, as long as it was to last.
 * @param {Context} context
 */
export function toggle(context) {
  const state = context.store.get().status?.state;
  if (state === "running") return act(context, "pause");
  if (state === "paused") return act(context, "resume");
  const run = context.store.get().status?.run;
  return act(context, "start", run ? { scenario: run.scenario, policy: run.policy, seed: run.seed, days: run.days } : {});
}

/**
 * →: one step; a running community is paused first.
 * @param {Context} context
 */
export async function single(context) {
  const state = context.store.get().status?.state;
  if (state === "running" && !(await act(context, "pause"))) return;
  if (state === "running" || state === "paused") await act(context, "step", { steps: 1 });
}
