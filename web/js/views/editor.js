/** Make a scenario of your own. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Scenarios",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Scenarios" }), h("p", { text: "Make a scenario of your own." })));
    },
    unmount() {},
  };
}
