/** The live view: controls, metrics, grid, time series, prosumers. */
import { h, icon, s, setText } from "../dom.js";
import { gridView } from "../grid/grid.js";
import { agentTable } from "../grid/table.js";
import { agentCards } from "../live/agents.js";
import { charts } from "../live/charts.js";
import { disturb } from "../live/disturb.js";
import { metrics } from "../live/metrics.js";
import { setup } from "../live/setup.js";
import { single, toggle, transport } from "../live/transport.js";
import { weights } from "../live/weights.js";
import { STATUS, statusColor } from "../status.js";
import { pick } from "../store.js";

/** @typedef {import("../types.d.ts").AgentStatus} AgentStatus */

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  /** @type {(() => void)[]} */
  let stops = [];
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (target.closest("input, select, textarea")) return;
    if (event.key === " " && !target.closest("button, summary, a, [role=button]")) {
      event.preventDefault();
      toggle(context);
    } else if (event.key === "ArrowRight" && !event.defaultPrevented) {
      event.preventDefault();
      single(context);
    }
  };
  return {
    title: "Live",
    mount(root) {
      const parts = { transport: transport(context), setup: setup(context), disturb: disturb(context), weights: weights(context), metrics: metrics(context), charts: charts(context), agents: agentCards(context) };
      const grid = gridCard(context);
      root.append(h("h1", { class: "sr-only", text: "Live view" }),
        h("div", { class: "controls" }, parts.transport.node, parts.setup.node, parts.disturb.node, parts.weights.node),
        parts.metrics.node, grid.node, parts.charts.node, parts.agents.node);
      stops = [grid.stop, ...Object.values(parts).map(({ stop }) => stop)];
      addEventListener("keydown", onKey);
    },
    unmount() {
      removeEventListener("keydown", onKey);
      stops.forEach((stop) => stop());
    },
  };
}

/**
 * The grid or, by a button and in the URL, the same as a table.
 * @param {import("../types.d.ts").Context} context
 */
function gridCard(context) {
  const { router, store } = context;
  const title = h("h2", { text: "Community" });
  const about = h("span", { class: "faint about" });
  const asTable = h("button", { class: "button quiet", type: "button", onclick: () => router.set({ as: router.route.params.as === "table" ? null : "table" }) }, icon("table"), "Table");
  const body = h("div", { class: "grid-body" });
  const alert = h("p", { class: "alert", "aria-hidden": "true", hidden: true });
  const spoken = h("p", { class: "sr-only", role: "status" }); // the same without numbers, which are others in every frame
  const node = h("section", { class: "card grid-card", "aria-label": "Community" }, h("header", {}, title, about, h("span", { class: "push" }), asTable), alert, spoken, body, legend());
  /** @type {{ node: HTMLElement, stop: () => void } | null} */
  let shown = null;
  let what = "";
  const stops = [
    router.subscribe(({ params }) => {
      const next = params.as === "table" ? "table" : "grid";
      asTable.setAttribute("aria-pressed", String(next === "table"));
      if (next === what) return;
      what = next;
      shown?.stop();
      shown = next === "table" ? agentTable(context) : gridView(context);
      body.replaceChildren(shown.node);
    }),
    store.subscribe((state) => state.hello, (hello) => {
      title.textContent = hello?.scenario?.name ?? "No community yet";
      about.textContent = hello?.policy ? `${hello.policy.title}, seed ${hello.run?.seed ?? 0}` : "";
      node.title = "";
    }),
    store.subscribe(pick("frame", "status", "connection"), () => {
      const { frame, status, connection } = store.get();
      /** @type {string[]} */
      const said = [];
      /** @type {string[]} */
      const aloud = [];
      const say = (/** @type {string} */ text, general = text) => { said.push(text); aloud.push(general); };
      if (connection.state !== "open" && frame) say("Not connected: these are the last values.");
      if (frame?.islanded) say("Islanded: the utility is cut off.");
      if (frame && !frame.metrics.converged) say("Voltage collapse: the power flow has no solution.");
      if (frame && frame.metrics.unserved_kw > 0.01) say(`${context.format.kw(frame.metrics.unserved_kw)} of demand are not met.`, "Some demand is not met.");
      if (status?.state === "starting") say("A community is being started…");
      if (!frame && status?.state === "stopped") say("Nothing runs. Choose a community and start it.");
      for (const warning of status?.warnings ?? []) say(warning.message);
      setText(alert, said.join(" "));
      setText(spoken, aloud.join(" "));
      alert.hidden = !said.length;
    }),
  ];
  return { node, stop: () => { stops.forEach((stop) => stop()); shown?.stop(); } };
}

function legend() {
  const shape = (/** @type {AgentStatus} */ name) => {
    const path = s("path", { d: STATUS[name].shape });
    path.style.fill = statusColor(name);
    return h("li", { title: STATUS[name].what }, s("svg", { viewBox: "-1.3 -1.3 2.6 2.6", "aria-hidden": "true" }, path), STATUS[name].word);
  };
  const dot = (/** @type {string} */ color, /** @type {string} */ text) => {
    const mark = h("i", { class: "key" });
    mark.style.background = `var(--c-${color})`;
    return h("li", {}, mark, text);
  };
  return h("ul", { class: "legend", "aria-label": "Legend" }, .../** @type {AgentStatus[]} */ (Object.keys(STATUS)).map(shape),
    dot("transfer", "shared"), dot("import", "bought"), dot("export", "sold"));
}
