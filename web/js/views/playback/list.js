/** Recordings there are. */

import { h } from "../../dom.js";

/**
 * @typedef {{id: string, name: string, pinned: boolean, state: "recording"|"complete"|"interrupted", scenario: string,
 *   policy: string, seed: number|null, started: number, ended: number|null, end_reason: string|null, first: number,
 *   frames: number, dropped: number, size_bytes: number}} Recording
 * @typedef {typeof import("../../format.js")} Format
 */

/**
 * @param {Recording[]} recordings
 * @param {string|null} chosen
 * @param {Format} format
 * @param {(recording: Recording) => void} choose
 */
export function recordingList(recordings, chosen, format, choose) {
  if (!recordings.length) return h("p", { class: "faint empty", text: "None yet: every run of the live view is recorded." });
  return h("ul", { class: "pick-list recordings" }, recordings.map((recording) => h("li", {},
    h("button", { type: "button", class: "pick", "aria-current": recording.id === chosen ? "true" : null, dataset: { recording: recording.id }, onclick: () => choose(recording) },
      h("span", { class: "pick-title", text: recording.name }),
      h("span", { class: "pick-detail num", text: `${format.wallTime(new Date(recording.started * 1000).toISOString())} · ${format.count(recording.frames, "step")} · ${format.bytes(recording.size_bytes)}` }),
      badge(recording)))));
}

/** @param {Recording} recording */
function badge(recording) {
  if (recording.state === "recording") return h("span", { class: "badge poor" }, h("span", { class: "dot round" }), "recording");
  if (recording.pinned) return h("span", { class: "badge", title: "Kept when room is made for new ones", text: "pinned" });
  return recording.state === "interrupted" ? h("span", { class: "badge fair", title: "The server ended meanwhile; what is there is whole" }, h("span", { class: "dot" }), "cut short") : null;
}

/**
 * How much room there is.
 * @param {{total: number, used_bytes: number, cap_bytes: number}} list
 * @param {Format} format
 */
export const room = ({ total, used_bytes, cap_bytes }, format) =>
  `${format.count(total, "recording")}, ${format.bytes(used_bytes)} of ${format.bytes(cap_bytes)}. When that is full, the oldest are deleted, pinned ones never.`;
