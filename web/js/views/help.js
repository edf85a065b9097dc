/** Help: what a prosumer observes, decides and learns; how every number is computed; how to read it; the keys. */
import { h, icon, s } from "../dom.js";
import { EXPLAIN } from "../explain.js";
import { STATUS, statusColor } from "../status.js";

/** @typedef {import("../types.d.ts").AgentStatus} AgentStatus */

const KEYS = [
  ["Space", "pause, resume, or start"], ["→", "one step; pauses first"], ["Tab", "from one part to the next"],
  ["Arrows", "in the grid: from one prosumer to the next; in 3D: turn the camera, and after Tab from one prosumer to the next"], ["Enter", "select the prosumer"], ["?", "this help"], ["Esc", "close it"],
];

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create({ store, format }) {
  let stop = () => {};
  return {
    title: "Help",
    mount(root) {
      const weights = h("p", { class: "muted" });
      root.append(h("div", { class: "help-body" },
        h("header", {}, h("h2", { text: "How to read this" }), h("button", {
          class: "button quiet icon", "aria-label": "Close help", onclick: () => root.dispatchEvent(new CustomEvent("close-help")),
        }, icon("close"))),
        part("A prosumer", "Each home, shop or farm on the feeder has demand, maybe solar panels, and a battery. Once a step, usually a quarter of an hour, its policy decides.",
          list("It observes", ["its own charge, demand, generation and voltage", "whether the utility is connected, and the stability of the step before", "import and export prices now and for the hours ahead", "its neighbours' charge and net power", "a forecast of its own and the community's net power; the time of day and year"]),
          list("It decides", ["for each link: how much to take from or give that neighbour; both have to agree", "its trade with the utility, around what balances its meter; the battery takes the rest"]),
          list("It learns", ["from the reward below, each with a network of its own; a trained policy acts here, it does not learn while you watch"])),
        part("Stability", EXPLAIN.stability.what ?? "", formula("S", EXPLAIN.stability.formula), ...["voltage", "loading", "balance", "reserve"].map((key) => formula(EXPLAIN[key].title, EXPLAIN[key].formula, EXPLAIN[key].what))),
        part("Reward", "EUR-equivalents a step; every part can be weighted while the community runs.", weights,
          ...["reward_stability", "reward_efficiency", "reward_cost", "reward_cooperation"].map((key) => formula(EXPLAIN[key].title, EXPLAIN[key].formula, EXPLAIN[key].what))),
        part("Who pays what", "Trades with the utility at the import and export price; transfers at the mean of the two, the same at both ends. What was not planned costs or earns a little worse than the price; losses are shared; unserved demand costs the value of lost load.",
          formula("Cost", EXPLAIN.cost.formula)),
        part("Good, fair, poor", "", scales()),
        part("Signs and shapes", "Powers are means over the step. Branches, buses and links tell theirs under the pointer, and as tables (Table, Feeder). Seen from the prosumer, positive brings energy in. The ring is the charge; a tint of the disc is the voltage: blue below nominal, red above.", statusList()),
        part("Keys", "", h("dl", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })])))));
      stop = store.subscribe((state) => state.status?.weights ?? null, (now) => {
        weights.textContent = now ? `In force: ${Object.entries(now.rewards).map(([name, value]) => `${format.number(value, 2)} ${name}`).join(", ")}.` : "";
      });
    },
    unmount() {
      stop();
    },
  };
}

/** @param {string} title @param {string} text @param {...Node} more */
const part = (title, text, ...more) => h("section", {}, h("h3", { text: title }), text && h("p", { class: "muted", text }), ...more);

/** @param {string} title @param {string[]} items */
const list = (title, items) => h("div", {}, h("h4", { text: title }), h("ul", {}, ...items.map((text) => h("li", { text }))));

/** @param {string} title @param {string | undefined} text @param {string} [what] */
const formula = (title, text, what) => h("div", { class: "formula-row" }, h("strong", { text: title }), h("code", { text: text ?? "" }), what ? h("span", { class: "faint", text: what }) : null);

/** @type {[string, string, string, string, string][]} what, good, fair, poor, what that means */
const SCALES = [
  ["Stability", "0.8 and more", "0.6 to 0.8", "below 0.6", "Good: voltages near nominal, no branch beyond 80 %, nothing wasted. Fair: a branch nears its rating, batteries are empty or full, or plans miss. Poor: overload, voltage problems, or demand that is not met."],
  ["Loading of a branch", "up to 80 %", "80 to 100 %", "above 100 %", "Of its rating. Beyond it cables and transformer age fast, and a real one would trip."],
  ["Voltage", "0.95 to 1.05", "0.90 to 1.10", "outside", "Per unit of nominal. EN 50160 allows ± 10 % of it; a scenario may have a narrower band."],
  ["Score", "0.9 and more", "0.6 to 0.9", "below 0.6", "Share of the possible saving. On community-5 the time-of-use rule has 0.65, self-consumption 0.24, planning with a forecast 0.95, perfect foresight 0.99. Below 0 it costs more than having no batteries."],
  ["Cost", "below planning's", "below a rule's", "above a rule's", "Means nothing alone: it depends on the weeks, so compare it on the same ones, against model predictive control and the time-of-use rule. Negative is earned."],
];

function scales() {
  const mark = (/** @type {string} */ grade) => h("th", { scope: "col" }, h("span", { class: `badge ${grade}` }, h("span", { class: "dot" }), grade));
  return h("table", { class: "scales" }, h("caption", { class: "sr-only", text: "Which values are good, fair and poor" }),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "sr-only", text: "Number" })), ...["good", "fair", "poor"].map(mark))),
    ...SCALES.map(([name, good, fair, poor, what]) => h("tbody", {}, h("tr", {}, h("th", { scope: "row", text: name }), ...[good, fair, poor].map((text) => h("td", { text }))),
      h("tr", {}, h("td", { class: "faint", colspan: 4, text: what })))));
}

function statusList() {
  return h("ul", { class: "statuses" }, .../** @type {AgentStatus[]} */ (Object.keys(STATUS)).map((name) => {
    const path = s("path", { d: STATUS[name].shape });
    path.style.fill = statusColor(name);
    return h("li", {}, s("svg", { viewBox: "-1.3 -1.3 2.6 2.6", "aria-hidden": "true" }, path), h("strong", { text: STATUS[name].word }), h("span", { class: "muted", text: STATUS[name].what }));
  }));
}
