/** Short messages in the corner; errors stay until they are closed or 12 s have passed. */
import { h, icon } from "./dom.js";

/**
 * @param {string} message a sentence for people
 * @param {"info" | "error"} [kind]
 */
export function toast(message, kind = "info") {
  const box = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  for (const old of box.children) if (old.querySelector("p")?.textContent === message) old.remove();
  const node = h("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" },
    h("p", { text: message }),
    h("button", { class: "button quiet icon", "aria-label": "Dismiss", onclick: () => node.remove() }, icon("close")));
  box.append(node);
  while (box.children.length > 4) box.firstElementChild?.remove();
  setTimeout(() => node.remove(), kind === "error" ? 12_000 : 5000);
}

/**
 * Say something to a screen reader only.
 * @param {string} message
 */
export function announce(message) {
  const region = document.getElementById("live-region");
  if (region) region.textContent = message;
}
