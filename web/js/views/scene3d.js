/** The community in three dimensions. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "3D",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "3D" }), h("p", { text: "The community in three dimensions." })));
    },
    unmount() {},
  };
}
