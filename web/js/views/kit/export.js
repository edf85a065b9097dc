/** Files of what is shown. */

import { h } from "../../dom.js";
import { toast } from "../../toast.js";

/**
 * One control for all kinds of file, so that a header stays short.
 * @param {import("../../api.js").Api} api
 * @param {{label: string, path?: string, name?: string, make?: () => Promise<void>|void}[]} files from a path of the
 *   server, or made here
 */
export function exportMenu(api, files) {
  const select = h("select", { class: "input export", "aria-label": "Export", onchange: async () => {
    const file = files[Number(select.value)];
    select.value = "";
    try {
      await (file.make ? file.make() : api.download(/** @type {string} */ (file.path), /** @type {string} */ (file.name)));
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "error");
    }
  } }, h("option", { text: "Export…" }), files.map((file, k) => h("option", { text: file.label })));
  [...select.options].forEach((option, k) => (option.value = k === 0 ? "" : String(k - 1)));
  return select;
}
