/** Policies against each other, rules, model predictive control and the optimum. */
import { h } from "../dom.js";

/**
 * @param {import("../types.d.ts").Context} _context
 * @returns {import("../types.d.ts").View}
 */
export function create(_context) {
  return {
    title: "Compare",
    mount(root) {
      root.append(h("div", { class: "notice" }, h("strong", { text: "Compare" }), h("p", { text: "Policies against each other, rules, model predictive control and the optimum." })));
    },
    unmount() {},
  };
}
