/** Numbers and times for people: fixed decimals, so that columns stand still; a real minus; a space that never breaks. */

const NARROW = "\u202f";
const MINUS = "\u2212";
export const NONE = "–";

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * @param {number} decimals
 * @param {boolean} signed
 */
function formatter(decimals, signed) {
  const key = `${decimals}${signed}`;
  let found = formats.get(key);
  if (!found) {
    found = new Intl.NumberFormat("en", {
      minimumFractionDigits: decimals, maximumFractionDigits: decimals, signDisplay: signed ? "exceptZero" : "negative",
    });
    formats.set(key, found);
  }
  return found;
}

/**
 * A number with fixed decimals; a dash for what is missing.
 * @param {number | null | undefined} value
 * @param {number} [decimals]
 * @param {{ signed?: boolean }} [options]
 */
export function number(value, decimals = 1, { signed = false } = {}) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  return formatter(decimals, signed).format(value).replace("-", MINUS);
}

/**
 * A number with its unit.
 * @param {number | null | undefined} value
 * @param {string} unit
 * @param {number} [decimals]
 * @param {{ signed?: boolean }} [options]
 */
export function quantity(value, unit, decimals = 1, options = {}) {
  const text = number(value, decimals, options);
  return text === NONE ? text : `${text}${NARROW}${unit}`;
}

/** @param {number | null | undefined} value */
export const kw = (value) => quantity(value, "kW", value != null && Math.abs(value) >= 100 ? 0 : 2);
/** @param {number | null | undefined} value */
export const signedKw = (value) => quantity(value, "kW", 2, { signed: true });
/** @param {number | null | undefined} value */
export const kwh = (value) => quantity(value, "kWh", 1);
/** @param {number | null | undefined} value @param {number} [decimals] */
export const eur = (value, decimals = 2) => quantity(value, "EUR", decimals);
/** @param {number | null | undefined} value */
export const price = (value) => quantity(value, "EUR/kWh", 3);
/** @param {number | null | undefined} value a fraction @param {number} [decimals] */
export const percent = (value, decimals = 0) => quantity(value == null ? value : value * 100, "%", decimals);
/** @param {number | null | undefined} value */
export const pu = (value) => quantity(value, "p.u.", 3);
/** @param {number | null | undefined} value */
export const index = (value) => number(value, 3);
/** @param {number | null | undefined} value */
export const ms = (value) => quantity(value, "ms", 0);

/**
 * How many of a thing: "1 recording", "1,200 recordings".
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export const count = (value, one, many = `${one}s`) => `${number(value, Number.isInteger(value) ? 0 : 2)} ${value === 1 ? one : many}`;

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value == null || !Number.isFinite(value)) return NONE;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let k = 0;
  while (value >= 1000 && k < units.length - 1) {
    value /= 1000;
    k += 1;
  }
  return quantity(value, units[k], k === 0 ? 0 : 1);
}

/**
 * Seconds as "45 s", "3 min 20 s", "2 h 5 min", "4 d 2 h".
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  /** @type {[string, number][]} */
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => whole >= size);
  if (first < 0) return `0${NARROW}s`;
  const [name, size] = units[first];
  const parts = [`${Math.floor(whole / size)}${NARROW}${name}`];
  if (first + 1 < units.length) {
    const [nextName, nextSize] = units[first + 1];
    const rest = Math.floor((whole % size) / nextSize);
    if (rest > 0) parts.push(`${rest}${NARROW}${nextName}`);
  }
  return parts.join(" ");
}

/**
 * A simulated time as ms: the wire has local standard time without a zone, so it is read and shown as UTC and no
 * daylight saving of the viewer's place moves it.
 * @param {string} text ISO 8601 without zone
 */
export const simTime = (text) => Date.parse(/[Z+]/.test(text.slice(10)) ? text : `${text}Z`);

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/**
 * "Wed 1 Jun 2016" of a simulated time.
 * @param {string | null | undefined} text
 */
export function simDate(text) {
  const t = text ? new Date(simTime(text)) : null;
  if (!t || Number.isNaN(t.getTime())) return NONE;
  return `${DAYS[t.getUTCDay()]} ${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]} ${t.getUTCFullYear()}`;
}

/**
 * "14:15" of a simulated time.
 * @param {string | null | undefined} text
 */
export function simClock(text) {
  const t = text ? new Date(simTime(text)) : null;
  return !t || Number.isNaN(t.getTime()) ? NONE : `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`;
}

/**
 * A wall clock time in the viewer's zone, "2026-01-31 14:15".
 * @param {string | null | undefined} text
 */
export function wallTime(text) {
  const t = text ? new Date(text) : null;
  if (!t || Number.isNaN(t.getTime())) return NONE;
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}`;
}

/**
 * Words of a wire name: "price_spike" → "price spike".
 * @param {string} name
 */
export const words = (name) => name.replaceAll("_", " ");

/**
 * How good an index between 0 and 1 is.
 * @param {number} value
 * @returns {"good" | "fair" | "poor"}
 */
export const grade = (value) => (value >= 0.8 ? "good" : value >= 0.6 ? "fair" : "poor");
