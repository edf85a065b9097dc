/** The live view's grid, metrics and prosumers, showing whatever the store holds; what happens now stands in the grid. */

import { h } from "../../dom.js";
import { gridView } from "../../grid/grid.js";
import { agentTable } from "../../grid/table.js";
import { agentCards } from "../../live/agents.js";
import { metrics } from "../../live/metrics.js";

/**
 * @param {import("../../types.d.ts").Context} context with the store of the recording
 * @param {HTMLElement} now says what happens
 */
export function stage(context, now) {
  const grid = gridView(context);
  const table = agentTable(context);
  const numbers = metrics(context);
  const cards = agentCards(context);
  const node = h("div", { class: "playback-stage" }, numbers.node,
    h("section", { class: "card playback-grid", "aria-label": "Community" }, grid.node, now));
  const below = h("div", { class: "playback-below" }, cards.node,
    h("details", { class: "card as-table" }, h("summary", { text: "The same as a table" }), table.node));
  return {
    node, below, picture: grid.node,
    stop: () => [grid, table, numbers, cards].forEach((part) => part.stop()),
  };
}
