/** The community, live. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Live",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Live" }), h("p", { text: "The community, live." })));
    },
    unmount() {},
  };
}
