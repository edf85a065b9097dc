/** Events as a list one can go through by keyboard. */

import { h } from "../../dom.js";
import { holding, KINDS, sentence } from "./events.js";

/** @typedef {import("./events.js").RecordedEvent} RecordedEvent */
const MOST = 300;

/**
 * @param {RecordedEvent[]} events
 * @param {typeof import("../../format.js")} format
 * @param {(event: RecordedEvent) => void} go
 */
export function eventList(events, format, go) {
  const rows = [...events].sort((a, b) => a.frame - b.frame).slice(0, MOST).map((event) => {
    const kind = KINDS.find((item) => item.kind === event.kind) ?? KINDS[3];
    const node = h("button", { type: "button", class: "pick event", onclick: () => go(event) },
      h("i", { class: `event-mark ${event.kind}`, vars: { "--c": `var(${kind.token})` } }),
      h("span", { class: "pick-title" }, `${kind.label} `, h("span", { class: "faint num", text: `${format.simDate(event.sim_time).slice(0, -5)} ${format.simClock(event.sim_time)}` })),
      h("span", { class: "pick-detail", text: sentence(event, format) }));
    return { event, node };
  });
  const note = events.length > MOST ? h("p", { class: "faint", text: `The first ${MOST} of ${events.length}.` }) : null;
  const node = rows.length ? h("ul", { class: "pick-list events" }, rows.map((row) => h("li", {}, row.node)), note)
    : h("p", { class: "faint empty", text: "Nothing happened: no outage, overload, voltage violation or perturbation." });
  return {
    node,
    /** @param {number} frame */
    mark(frame) {
      const now = new Set(holding(events, frame));
      for (const row of rows) row.node.toggleAttribute("aria-current", now.has(row.event));
    },
  };
}
