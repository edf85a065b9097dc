/** What everything means. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Help",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Help" }), h("p", { text: "What everything means." })));
    },
    unmount() {},
  };
}
