/**
 * Events of a recording on the way along its frames: pure functions.
 *
 * @typedef {{kind: string, frame: number, until: number|null, step: number, sim_time: string, detail: string}} RecordedEvent
 * @typedef {{kind: string, from: number, to: number, count: number, events: RecordedEvent[]}} Mark
 */

/** Rows of the timeline, from the worst. Each has a shape of its own, so colour is never the only sign. */
export const KINDS = /** @type {const} */ ([
  { kind: "outage", label: "Outage", token: "--s-unserved" },
  { kind: "voltage_violation", label: "Voltage", token: "--c-loading" },
  { kind: "overload", label: "Overload", token: "--s-importing" },
  { kind: "perturbation", label: "Perturbation", token: "--accent" },
]);

/**
 * The event that begins next after a frame, or before it.
 * @param {RecordedEvent[]} events in any order
 * @param {number} frame where one stands
 * @param {1|-1} direction
 * @returns {RecordedEvent|null}
 */
export function neighbour(events, frame, direction) {
  let best = null;
  for (const event of events) {
    const ahead = (event.frame - frame) * direction;
    if (ahead > 0 && (best === null || ahead < (best.frame - frame) * direction)) best = event;
  }
  return best;
}

/**
 * Events that hold in a frame.
 * @param {RecordedEvent[]} events
 * @param {number} frame
 */
export function holding(events, frame) {
  return events.filter((event) => event.frame <= frame && (event.until === null || frame < event.until));
}

/**
 * Those to tell of: one that was done by hand and did nothing but cause an outage is told by the outage.
 * @param {RecordedEvent[]} events that hold
 */
export const telling = (events) => events.filter((event) => event.kind !== "perturbation"
  || !events.some((other) => other.kind === "outage" && other.frame === event.frame && other.until === event.until));

/**
 * What happened and for how long, in words.
 * @param {RecordedEvent} event
 * @param {{count: (n: number, one: string) => string}} format
 */
export const sentence = ({ detail, frame, until }, format) => `${detail} (${until === null ? "to the end" : format.count(until - frame, "step")})`;

/**
 * Spans to draw for one kind, those closer together than `gap` frames drawn as one.
 * @param {RecordedEvent[]} events
 * @param {string} kind
 * @param {number} end number after the last frame
 * @param {number} gap frames
 * @returns {Mark[]}
 */
export function marks(events, kind, end, gap) {
  /** @type {Mark[]} */
  const merged = [];
  for (const event of events.filter((e) => e.kind === kind).sort((a, b) => a.frame - b.frame)) {
    const to = Math.max(event.until ?? end, event.frame + 1);
    const last = merged.at(-1);
    if (last && event.frame - last.to <= gap) {
      last.to = Math.max(last.to, to);
      last.count += 1;
      last.events.push(event);
    } else merged.push({ kind, from: event.frame, to, count: 1, events: [event] });
  }
  return merged;
}

/**
 * How far a viewer who stopped is behind what the community has come to.
 * @param {{step: number}|null} shown
 * @param {{step: number}|null} live
 */
export function behind(shown, live) {
  return shown && live ? Math.max(0, live.step - shown.step) : 0;
}
