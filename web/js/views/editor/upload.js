/** A user's own CSV: uploaded, or shown with the row and the column that are wrong. */

import { field, h } from "../../dom.js";
import { toast } from "../../toast.js";
import { confirmed } from "../kit/confirm.js";
import { scrolling } from "../kit/scrolling.js";

const KINDS = { load: "timestamp, agent, demand_kw, generation_kw", prices: "timestamp, import_eur_per_kwh, export_eur_per_kwh", feeder: "a row a branch" };

/**
 * Lines around a row of a file, with its header; rows count from 1, the header.
 * @param {string} text
 * @param {number} row
 * @param {number} around
 * @returns {{head: string[], lines: {row: number, cells: string[]}[]}}
 */
export function excerpt(text, row, around = 2) {
  const all = text.split(/\r?\n/);
  const lines = [];
  for (let k = Math.max(2, row - around); k <= Math.min(all.length, row + around); k += 1) if (all[k - 1] !== "") lines.push({ row: k, cells: all[k - 1].split(",") });
  return { head: all[0].split(",").map((name) => name.trim()), lines };
}

/**
 * @param {import("../../types.d.ts").Context} context
 * @param {(files: any[]) => void} onFiles
 */
export function uploads({ api, format }, onFiles) {
  const file = h("input", { type: "file", accept: ".csv,text/csv", required: true });
  const kind = h("select", {}, Object.keys(KINDS).map((name) => h("option", { value: name, text: name })));
  const columns = h("p", { class: "hint faint", text: KINDS.load });
  const name = h("input", { type: "text", required: true, maxlength: 64 });
  const zone = h("input", { type: "text", value: "UTC" });
  const step = h("input", { type: "number", value: "15", min: 1, max: 60 });
  const replace = h("input", { type: "checkbox" });
  const list = h("div");
  const fault = h("div", { class: "upload-fault", role: "alert" });
  const send = h("button", { class: "button", text: "Upload" });
  const form = h("form", { class: "stack-form", onsubmit: submit }, field("CSV file", file), h("div", { class: "pair" }, field("Kind", kind), field("Name", name)), columns,
    h("div", { class: "pair" }, field("Time zone", zone, { hint: "of stamps without one" }), field("Step, min", step)), h("label", { class: "check" }, replace, "Replace a file of this name"), fault, send);
  let named = false; // by the user, so that another file does not change it
  kind.addEventListener("change", () => { columns.textContent = KINDS[/** @type {keyof typeof KINDS} */ (kind.value)]; });
  file.addEventListener("change", () => {
    fault.replaceChildren();
    if (!named) name.value = (file.files?.[0]?.name ?? "").replace(/\.csv$/i, "").replace(/[^A-Za-z0-9_.-]+/g, "-").slice(0, 64);
  });
  name.addEventListener("input", () => { named = name.value !== ""; });

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    const chosen = file.files?.[0];
    if (!chosen) return;
    fault.replaceChildren();
    send.disabled = true;
    const query = new URLSearchParams({ name: name.value, kind: kind.value, time_zone: zone.value, step_minutes: step.value, replace: String(replace.checked) });
    try {
      await api.request("POST", `api/data/upload?${query}`, { body: chosen, headers: { "content-type": "text/csv" } });
      toast(`${name.value} is here: choose it under data.`);
      file.value = name.value = ""; // kind, time zone and step hold for the next file too
      named = replace.checked = false;
      await refresh();
    } catch (error) {
      const { message, details } = /** @type {any} */ (error);
      fault.replaceChildren(h("p", { class: "fault", text: message }), ...(details?.row ? [picture(await chosen.slice(0, 32 << 20).text(), details.row, details.column)] : []));
      fault.scrollIntoView({ block: "nearest" });
      fault.querySelector(".cell-wrong")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    send.disabled = false;
  }

  async function refresh() {
    /** @type {any[]} */
    const files = await api.get("api/data");
    onFiles(files);
    list.replaceChildren(files.length ? h("ul", { class: "file-list" }, files.map((item) => h("li", {},
      h("span", {}, h("strong", { text: item.name }), h("span", { class: "faint", text: ` ${item.kind}, ${format.bytes(item.size_bytes)}${item.days ? `, ${format.count(Math.round(item.days), "day")}` : ""}${item.agents?.length ? `, ${format.count(item.agents.length, "prosumer")}` : ""}` })),
      h("button", { type: "button", class: "button quiet small", "aria-label": `Delete ${item.name}`, title: "Delete", text: "✕", onclick: async () => {
        if (!(await confirmed(`Delete ${item.name}?`, "The file is removed from the server."))) return;
        await api.delete(`api/data/${item.name}`).catch((error) => toast(error.message, "error"));
        await refresh();
      } })))) : h("p", { class: "faint empty", text: "No files yet." }));
  }
  refresh().catch((error) => toast(error.message, "error"));
  return [list, form];
}

/**
 * The rows around the fault, its cell marked.
 * @param {string} text
 * @param {number} row
 * @param {string|null} column
 */
function picture(text, row, column) {
  const { head, lines } = excerpt(text, row);
  const at = column === null ? -1 : head.indexOf(column);
  return scrolling(h("table", { class: "table excerpt" }, h("caption", { class: "sr-only", text: `Rows around row ${row}` }),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "row" }), head.map((title, k) => h("th", { scope: "col", class: k === at ? "wrong" : "", text: title })))),
    h("tbody", {}, lines.map((line) => h("tr", { class: line.row === row ? "wrong" : "" }, h("th", { scope: "row", class: "num", text: String(line.row) }),
      line.cells.map((cell, k) => h("td", { class: `num ${line.row === row && (k === at || at < 0) ? "cell-wrong" : ""}`, text: cell })))))));
}
