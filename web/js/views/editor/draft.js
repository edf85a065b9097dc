/**
 * A scenario as the form edits it: pure functions on nested plain values.
 *
 * A path is field names and list indices joined by dots, as the server names faults: `prosumers.0.archetype`.
 */

/**
 * The value at a path; undefined where there is none.
 * @param {any} value
 * @param {string} path
 */
export function at(value, path) {
  return path.split(".").reduce((found, key) => (found === null || found === undefined ? undefined : found[key]), value);
}

/**
 * A copy with another value at the path; what is missing on the way is made.
 * @param {any} value
 * @param {string} path
 * @param {any} changed
 * @returns {any}
 */
export function set(value, path, changed) {
  const [key, ...rest] = path.split(".");
  const next = rest.length ? set(value?.[key], rest.join("."), changed) : changed;
  if (Array.isArray(value)) return value.map((item, k) => (k === Number(key) ? next : item));
  return { ...(value ?? {}), [key]: next };
}

/**
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
export function equal(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => equal(a[key], b[key]));
}

/**
 * Fields that differ from the base: tables field by field, lists as a whole. A null is kept only where the base has a
 * value, since TOML has none: it is left out there too.
 * @param {Record<string, any>} changed
 * @param {Record<string, any>} base
 * @returns {Record<string, any>}
 */
export function difference(changed, base) {
  /** @type {Record<string, any>} */
  const out = {};
  for (const [key, value] of Object.entries(changed)) {
    if (equal(value, base[key]) || value === null || value === undefined) continue;
    const table = typeof value === "object" && !Array.isArray(value);
    const inner = table && base[key] && typeof base[key] === "object" ? difference(value, base[key]) : value;
    if (!(table && Object.keys(inner).length === 0)) out[key] = bare(inner);
  }
  return out;
}

/**
 * Without nulls, which TOML cannot say.
 * @param {any} value
 * @returns {any}
 */
export function bare(value) {
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== null && item !== undefined).map(([key, item]) => [key, bare(item)]),
  );
}

/**
 * A range as the form shows it: one number where both ends agree.
 * @param {number|[number, number]|null|undefined} value
 */
export function rangeText(value) {
  if (value === null || value === undefined) return "";
  if (!Array.isArray(value)) return String(value);
  return value[0] === value[1] ? String(value[0]) : `${value[0]} – ${value[1]}`;
}

/**
 * What was typed as a number or as a range: `5`, `5-8`, `5 – 8`. Text that is neither is handed on, for the server to
 * say what is wrong with it.
 * @param {string} text
 * @returns {number|[number, number]|string|null}
 */
export function parseRange(text) {
  const trimmed = text.trim().replace(",", ".");
  if (trimmed === "") return null;
  const number = "([-+]?\\d*\\.?\\d+(?:[eE][-+]?\\d+)?)";
  const found = new RegExp(`^${number}(?:\\s*(?:–|-|to|…|\\.\\.)\\s*${number})?$`).exec(trimmed);
  if (!found) return text;
  return found[2] === undefined ? Number(found[1]) : [Number(found[1]), Number(found[2])];
}

/**
 * Faults by the field the form has for them: the one a message names below its own field (`tariff: export_eur_per_kwh =
 * 9 exceeds …`), else the nearest above; those without any come under "". What only follows from another is left out.
 * @param {{field: string, message: string}[]} faults
 * @param {Set<string>} fields
 * @returns {Map<string, string[]>}
 */
export function placed(faults, fields) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const fault of faults) {
    const follows = fault.message.includes("after validation") && faults.some((other) => other.field.startsWith(`${fault.field}.`));
    if (follows) continue;
    const inner = /^[\w.]+: (\w+) = /.exec(fault.message);
    let path = inner && fields.has(`${fault.field}.${inner[1]}`) ? `${fault.field}.${inner[1]}` : fault.field;
    while (path && !fields.has(path)) path = path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "";
    found.set(path, [...(found.get(path) ?? []), plain(fault.message)]);
  }
  return found;
}

/**
 * A fault's message without the field it repeats: the form shows it there.
 * @param {string} message `prosumers.0.archetype = 'foo': Input should be …`
 */
export function plain(message) {
  const text = message.replace(/^[\w.]+ = [^:]*: /, "").replace(/^[\w.]+: /, "").replace("Input should be a valid tuple", "Expected a number, or a range such as 4 – 8");
  return /^\w*_/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
}
