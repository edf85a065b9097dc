/** The parts of a scenario's form. */

import { h, s } from "../../dom.js";
import { EXPLAIN } from "../../explain.js";
import { explain, explainField } from "../kit/explain.js";
import { parseRange } from "./draft.js";
import { bound, rows } from "./fields.js";

/** @typedef {import("./model.js").Model} Model */
const ARCHETYPES = ["residential", "commercial", "industrial", "mixed", "suburban"];
const EVENTS = ["islanding", "branch_outage", "price_spike", "demand_surge", "cloud"];
/** @type {Record<string, [string, string]>} field and label of an event's size */
const SIZE = { branch_outage: ["branch", "branch, empty: any"], price_spike: ["import_adder_eur_per_kwh", "EUR/kWh more"], demand_surge: ["factor", "times the demand"], cloud: ["factor", "times the sun"] };
const BATTERY = { capacity_kwh: [10, 10], charge_kw: [5, 5], discharge_kw: [5, 5] };

/**
 * @param {string} title
 * @param {string} about
 * @param {...(Node|Node[])} body
 */
export const section = (title, about, ...body) =>
  h("section", { class: "card" }, h("header", {}, h("h2", { text: title }), h("span", { class: "aside", text: about })), h("div", { class: "body edit-body" }, body.flat()));

/**
 * @param {Model} model
 * @param {() => void} redraw
 */
export function prosumers(model, redraw) {
  const cell = (/** @type {string} */ path, /** @type {any} */ options) => bound(model, path, { cell: true, kind: "range", ...options });
  return rows(model, "prosumers", {
    caption: "Prosumers", add: "Add a prosumer", least: 1,
    heads: [["Name"], ["Count"], ["Archetype"], ["Demand", "kWh/a"], ["Solar", "kWp"], ["Tilt", "°"], ["Faces", "°"], ["Battery", "kWh"], ["Battery", "kW"], ["Trade", "kW"]],
    row: (path) => [
      cell(`${path}.name`, { label: "Name", kind: "text" }), cell(`${path}.count`, { label: "Count" }),
      cell(`${path}.archetype`, { label: "Archetype", kind: "choice", options: ARCHETYPES }),
      cell(`${path}.annual_demand_kwh`, { label: "Demand, kWh a year", placeholder: "typical" }),
      cell(`${path}.solar.capacity_kwp`, {
        label: "Solar, kWp", placeholder: "none",
        write: (/** @type {any} */ value) => model.set(`${path}.solar`, value === null ? null : { tilt_deg: 35, azimuth_deg: 180, ...(model.get(`${path}.solar`) ?? {}), capacity_kwp: value }),
      }),
      cell(`${path}.solar.tilt_deg`, { label: "Tilt of the modules, degrees", placeholder: "35", write: (/** @type {any} */ value) => solar(model, path, { tilt_deg: value ?? 35 }) }),
      cell(`${path}.solar.azimuth_deg`, { label: "Direction they face, degrees from north", placeholder: "180", write: (/** @type {any} */ value) => solar(model, path, { azimuth_deg: value ?? 180 }) }),
      cell(`${path}.battery.capacity_kwh`, { label: "Battery, kWh", read: (/** @type {string} */ text) => parseRange(text) ?? 0 }),
      cell(`${path}.battery.charge_kw`, {
        label: "Battery, kW", read: (/** @type {string} */ text) => parseRange(text) ?? 0,
        write: (/** @type {any} */ value) => model.set(`${path}.battery`, { ...BATTERY, ...model.get(`${path}.battery`), charge_kw: value, discharge_kw: value }),
      }),
      cell(`${path}.trade_kw`, { label: "Largest trade with the utility, kW", placeholder: "its peaks" }),
    ],
    blank: () => ({ name: `home-${model.get("prosumers").length + 1}`, count: 1, archetype: "residential", annual_demand_kwh: [3500, 3500], solar: { capacity_kwp: [4, 4] }, battery: BATTERY }),
  }, redraw);
}

/**
 * @param {Model} model
 * @param {string} path
 * @param {Record<string, any>} change
 */
function solar(model, path, change) {
  const now = model.get(`${path}.solar`);
  if (now) model.set(`${path}.solar`, { ...now, ...change });
}

/** @param {Model} model */
export function links(model) {
  const pairs = (/** @type {any} */ value) => (Array.isArray(value) ? value.map((pair) => pair.join("-")).join(", ") : String(value ?? ""));
  const read = (/** @type {string} */ text) => (/^\s*\d+\s*-\s*\d+/.test(text) ? text.split(",").filter((x) => x.trim()).map((pair) => pair.split("-").map(Number)) : text.trim());
  return h("div", { class: "edit-grid" },
    bound(model, "links.topology", { label: "Who is linked", hint: "ring, complete, none, nearest:3, or pairs: 0-1, 1-2", show: pairs, read }),
    bound(model, "links.rating_kw", { label: "Largest transfer", unit: "kW", kind: "number" }),
    bound(model, "transfer_rule", { label: "Transfers", kind: "choice", options: ["consent", "average"], what: "consent: both must want it; average: the mean of their wishes." }),
    bound(model, "trade_mode", { label: "Trade action", kind: "choice", options: ["around_balance", "absolute"], what: "A shift of the battery around self-consumption, or an order in kW." }));
}

/**
 * @param {Model} model
 * @param {() => void} redraw
 */
export function tariff(model, redraw) {
  const price = (/** @type {string} */ path, /** @type {string} */ label) => bound(model, path, { label, unit: "EUR/kWh", kind: "number" });
  const cell = (/** @type {string} */ path, /** @type {string} */ label, placeholder = "") => bound(model, path, { label, kind: "number", cell: true, placeholder });
  return [
    h("div", { class: "edit-grid", dataset: { path: "tariff" } }, price("tariff.import_eur_per_kwh", "Import"), price("tariff.export_eur_per_kwh", "Export"),
      price("tariff.imbalance_penalty_eur_per_kwh", "Imbalance penalty"), price("tariff.lost_load_eur_per_kwh", "Value of lost load"), h("div", { class: "faults" })),
    rows(model, "tariff.bands", {
      caption: "Hours with other prices", add: "Add hours with other prices", heads: [["From", "h"], ["To", "h"], ["Import", "EUR/kWh"], ["Export", "EUR/kWh"]],
      row: (path) => [cell(`${path}.from_hour`, "From hour"), cell(`${path}.to_hour`, "To hour"), cell(`${path}.import_eur_per_kwh`, "Import price", "as above"), cell(`${path}.export_eur_per_kwh`, "Export price", "as above")],
      blank: () => ({ from_hour: 12, to_hour: 14, import_eur_per_kwh: 0.2, export_eur_per_kwh: null }),
    }, redraw),
  ];
}

/**
 * Prices over a day, for the eye.
 * @param {any} tariff
 */
export function pricePicture(tariff) {
  const at = (/** @type {number} */ hour, /** @type {"import_eur_per_kwh"|"export_eur_per_kwh"} */ key) => (tariff.bands ?? []).reduce((/** @type {number} */ value, /** @type {any} */ band) => {
    const inside = band.from_hour <= band.to_hour ? hour >= band.from_hour && hour < band.to_hour : hour >= band.from_hour || hour < band.to_hour;
    return inside && typeof band[key] === "number" ? band[key] : value;
  }, Number(tariff[key]) || 0);
  const hours = Array.from({ length: 96 }, (_, k) => k / 4);
  const [highest, paid] = /** @type {const} */ (["import_eur_per_kwh", "export_eur_per_kwh"]).map((key) => Math.max(...hours.map((hour) => at(hour, key))));
  const most = Math.max(0.01, highest, paid);
  const path = (/** @type {"import_eur_per_kwh"|"export_eur_per_kwh"} */ key) => hours.map((hour, k) => `${k ? "L" : "M"}${hour * 10},${62 - (at(hour, key) / most) * 54}L${(hour + 0.25) * 10},${62 - (at(hour, key) / most) * 54}`).join("");
  return explain(h("figure", { class: "price-picture" }, s("svg", { viewBox: "0 0 240 78", preserveAspectRatio: "none", "aria-hidden": "true" },
    [0, 6, 12, 18, 24].map((hour) => s("line", { class: "tick", x1: hour * 10, x2: hour * 10, y1: 4, y2: 62 })),
    s("path", { class: "import", d: path("import_eur_per_kwh") }), s("path", { class: "export", d: path("export_eur_per_kwh") })),
  h("figcaption", { class: "faint num" }, h("span", { text: "0 h" }), h("span", {}, h("i", { class: "swatch", vars: { "--c": "var(--c-import)" } }), ` import, to ${highest.toFixed(2)}  `, h("i", { class: "swatch", vars: { "--c": "var(--c-export)" } }), ` export, to ${paid.toFixed(2)} EUR/kWh`), h("span", { text: "24 h" }))), { title: "Prices over a day", unit: "EUR/kWh", text: "What a kWh costs from the utility and what it pays for one, by hour of the day, on one scale from 0." });
}

/**
 * Sliders of weights; a table of numbers would say less.
 * @param {Model} model
 * @param {string} path
 * @param {string[]} names
 * @param {number} most
 */
export function weights(model, path, names, most) {
  return h("div", { class: "edit-grid four", dataset: { path } }, names.map((name) => {
    const output = h("output", { class: "num", text: Number(model.get(`${path}.${name}`)).toFixed(2) });
    const input = h("input", { type: "range", min: 0, max: most, step: 0.05, "aria-label": `${path} weight: ${name}`, oninput: () => {
      output.textContent = Number(input.value).toFixed(2);
      model.set(`${path}.${name}`, Number(input.value));
    } });
    input.value = String(model.get(`${path}.${name}`));
    const box = h("div", { class: "field", dataset: { path: `${path}.${name}` } }, h("span", { class: "label" }, h("span", { text: name }), output), input, h("div", { class: "faults" }));
    const { title, what, formula } = EXPLAIN[path === "rewards" ? `reward_${name}` : name];
    explainField(box, input, { title: `Weight of: ${title}`, text: what, formula });
    return box;
  }), h("div", { class: "faults" }));
}

/**
 * @param {Model} model
 * @param {() => void} redraw
 */
export function events(model, redraw) {
  const cell = (/** @type {string} */ path, /** @type {string} */ label) => bound(model, path, { label, kind: "range", cell: true });
  return rows(model, "events", {
    caption: "Events", add: "Add an event", heads: [["What"], ["Chance", "0 … 1"], ["On day"], ["At hour"], ["Lasts", "h"], ["How much"]],
    row: (path) => {
      const size = SIZE[model.get(`${path}.kind`)];
      return [
        bound(model, `${path}.kind`, { label: "Kind", kind: "choice", options: EVENTS, cell: true, write: (/** @type {string} */ value) => { model.set(`${path}.kind`, value); redraw(); } }),
        cell(`${path}.probability`, "Chance in an episode"), cell(`${path}.day`, "Day it starts on"), cell(`${path}.hour`, "Hour it starts at"), cell(`${path}.duration_h`, "Duration, hours"),
        size ? bound(model, `${path}.${size[0]}`, { label: size[1], kind: "range", cell: true, placeholder: size[1] }) : h("span", { class: "faint", text: "–" }),
      ];
    },
    blank: () => ({ kind: "islanding", probability: 0.5, day: [0, 6], hour: [12, 20], duration_h: [1, 4] }),
  }, redraw);
}

/**
 * @param {Model} model
 * @param {{name: string, kind: string}[]} files uploaded
 */
export function dataAndFeeder(model, files) {
  const of = (/** @type {string} */ kind) => files.filter((file) => file.kind === kind).map((file) => file.name);
  const choice = (/** @type {string} */ path, /** @type {string} */ label, /** @type {string[]} */ options, /** @type {any} */ more = {}) => bound(model, path, { label, kind: "choice", options, ...more });
  return h("div", { class: "edit-grid" },
    choice("profiles.source", "Data", ["synthetic", "simbench", "csv"]), choice("profiles.path", "Load file", of("load"), { optional: true, hint: "of your uploads, for csv" }),
    choice("profiles.price_path", "Price file", of("prices"), { optional: true, hint: "instead of the tariff, with any data" }), bound(model, "profiles.code", { label: "SimBench code", optional: true, placeholder: "1-LV-rural1--0-sw" }),
    choice("forecast.kind", "Forecast", ["none", "persistence", "noisy", "perfect"], { what: "What is known ahead: nothing, the same as yesterday, the truth with noise, the truth." }),
    bound(model, "forecast.sigma", { label: "Forecast error", kind: "number", hint: "of noisy, relative" }),
    choice("network.feeder", "Feeder", ["radial", ...of("feeder")]), bound(model, "network.buses", { label: "Buses", kind: "number", hint: "of the generated feeder" }),
    bound(model, "network.power_factor", { label: "Power factor", kind: "number" }), bound(model, "network.voltage_band_pu", { label: "Voltage band ±", unit: "p.u.", kind: "number" }),
    bound(model, "episode_days", { label: "Episode", unit: "days", kind: "number" }), bound(model, "step_minutes", { label: "Step", unit: "min", kind: "number" }));
}
