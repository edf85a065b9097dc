/** Learning curves of a run while it learns. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Training",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Training" }), h("p", { text: "Learning curves of a run while it learns." })));
    },
    unmount() {},
  };
}
