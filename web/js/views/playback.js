/** Recordings: watch any run again, jump to its events, export it. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Playback",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Playback" }), h("p", { text: "Recordings: watch any run again, jump to its events, export it." })));
    },
    unmount() {},
  };
}
