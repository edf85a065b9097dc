/** Asks before something is lost, and for one line of text. */

import { field, h, uid } from "../../dom.js";

/**
 * @param {HTMLElement} body
 * @param {string} title
 * @param {HTMLButtonElement} action
 * @param {() => unknown} answer value where the action was chosen
 * @returns {Promise<any>} the answer, or null
 */
function ask(body, title, action, answer) {
  return new Promise((resolve) => {
    const id = uid("dialog");
    const dialog = h("dialog", { "aria-labelledby": id, class: "small-dialog" },
      h("form", { method: "dialog" }, h("h2", { id, text: title }), body,
        h("div", { class: "button-row end" },
          h("button", { class: "button", value: "", formnovalidate: true, text: "Cancel" }), action)));
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? answer() : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Whether something is to be lost.
 * @param {string} title a question
 * @param {string} text what happens then
 * @param {string} action word on the button
 * @returns {Promise<boolean>}
 */
export async function confirmed(title, text, action = "Delete") {
  const button = h("button", { class: "button danger", value: "yes", text: action });
  return (await ask(h("p", { class: "muted", text }), title, button, () => true)) === true;
}

/**
 * One line of text.
 * @param {string} title
 * @param {string} label
 * @param {string} value
 * @param {number} most characters
 * @returns {Promise<string|null>}
 */
export function asked(title, label, value, most = 120) {
  const input = h("input", { value, maxlength: most, required: true });
  return ask(field(label, input), title, h("button", { class: "button primary", value: "yes", text: "Save" }), () => input.value.trim());
}
