/** Asks for the server's token when it wants one. */
import { keepToken, token } from "./api.js";
import { field, h } from "./dom.js";

/** @type {HTMLDialogElement | null} */
let open = null;

/** @param {import("./socket.js").GridWebSocket} socket */
export function askToken(socket) {
  if (open) return;
  const input = h("input", { type: "password", autocomplete: "current-password", required: true, name: "token" });
  const wrong = token() !== null;
  const dialog = h("dialog", { "aria-labelledby": "token-title" },
    h("form", {
      method: "dialog",
      onsubmit: () => {
        keepToken(input.value.trim());
        socket.authenticate();
      },
    },
    h("h2", { id: "token-title", text: wrong ? "The server does not accept this token" : "This server needs its token" }),
    h("p", { class: "muted", text: "Who runs the server has set it, or it was printed when the server started, at the end of the address: …/web/#token=…" }),
    field("Token", input),
    h("div", { class: "button-row" }, h("button", { class: "button primary", text: "Connect" }))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    open = null;
  });
  open = dialog;
  document.body.append(dialog);
  dialog.showModal();
}
