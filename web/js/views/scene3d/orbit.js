/** A camera that circles a point: drag to turn, wheel or pinch to come nearer, arrow keys for both. */

/** @typedef {[number, number, number]} Point */
/**
 * @typedef {{azimuth: number, height: number, distance: number}} View radians, radians, metres
 */
export const LIMITS = { height: /** @type {[number, number]} */ ([0.12, 1.5]), distance: /** @type {[number, number]} */ ([14, 160]) };

const REST_MS = 250; // without a change, after which a gesture is over

/**
 * A view as a word of the URL: `0.35_0.62_56`.
 * @param {View} view
 */
export function viewText({ azimuth, height, distance }) {
  const turn = azimuth - 2 * Math.PI * Math.round(azimuth / (2 * Math.PI));
  return [turn.toFixed(2), height.toFixed(2), distance.toFixed(1)].map((text) => String(Number(text))).join("_");
}

/**
 * The view a text tells; null where it tells none.
 * @param {string | undefined} text
 * @returns {View | null}
 */
export function viewOf(text) {
  const [azimuth, height, distance] = (text ?? "").split("_").map(Number);
  if (!text || ![azimuth, height, distance].every(Number.isFinite)) return null;
  return { azimuth, height: within(height, LIMITS.height), distance: within(distance, LIMITS.distance) };
}

/** @param {number} x @param {[number, number]} span */
const within = (x, [low, high]) => Math.min(high, Math.max(low, x));

/**
 * Where the camera stands.
 * @param {View} view
 * @returns {Point}
 */
export function position({ azimuth, height, distance }) {
  const flat = Math.cos(height) * distance;
  return [Math.sin(azimuth) * flat, Math.sin(height) * distance, Math.cos(azimuth) * flat];
}

/**
 * The nearest place from which all points are in a part of the picture: what to look at, on the ground, and from how far.
 * Seen from `distance` D a point (x, y) off the middle and z nearer than it is at x / ((D − z) tan(fov / 2)) of the
 * picture's half, so each point is a bound on D and on the middle; the largest and the smallest of them decide.
 * @param {Point[]} points
 * @param {{azimuth: number, height: number}} direction
 * @param {{fov: number, aspect: number}} lens vertical angle in degrees, width over height
 * @param {{left: number, right: number, top: number, bottom: number}} part −1 … 1 each
 * @returns {{target: Point, distance: number}}
 */
export function framed(points, { azimuth, height }, { fov, aspect }, part) {
  const toward = position({ azimuth, height, distance: 1 });
  const right = [Math.cos(azimuth), 0, -Math.sin(azimuth)];
  const up = [-Math.sin(azimuth) * Math.sin(height), Math.cos(height), -Math.cos(azimuth) * Math.sin(height)];
  const on = (/** @type {number[]} */ axis) => points.map((p) => p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2]);
  const depth = on(toward);
  const tan = Math.tan((fov * Math.PI) / 360);
  const sides = [{ at: on(right), low: part.left, high: part.right, k: tan * aspect }, { at: on(up), low: part.bottom, high: part.top, k: tan }]
    .map(({ at, low, high, k }) => ({
      at, low, high, k, most: Math.max(...at.map((x, i) => x + high * k * depth[i])), least: Math.min(...at.map((x, i) => x + low * k * depth[i])),
    }));
  const far = Math.max(2 + Math.max(...depth), ...sides.map(({ low, high, k, most, least }) => (most - least) / ((high - low) * k)));
  const [x, y] = sides.map(({ at, low, high, k, most, least }) => {
    let [from, to] = [most - high * k * far, least - low * k * far];
    for (let step = 0; step < 40; step += 1) { // until there is as much room on either side
      const middle = (from + to) / 2;
      const seen = at.map((p, i) => (p - middle) / (k * (far - depth[i])));
      if (high - Math.max(...seen) > Math.min(...seen) - low) to = middle;
      else from = middle;
    }
    return (from + to) / 2;
  });
  const middle = right.map((r, i) => r * x + up[i] * y);
  const slide = -middle[1] / toward[1]; // along the line of sight, down to the ground
  return { target: /** @type {Point} */ (middle.map((m, i) => m + toward[i] * slide)), distance: far - slide };
}

export class Orbit {
  /**
   * @param {HTMLElement} surface
   * @param {View} view to begin with
   * @param {() => void} onMove
   * @param {(text: string | null) => void} onRest when a gesture is over, with the view as a text; null: as at first
   */
  constructor(surface, view, onMove, onRest) {
    this.view = { ...view };
    this.first = view;
    this.stretch = 1; // of the distance, so that the first one has the whole town in the picture
    this.target = /** @type {Point} */ ([0, 0, 0]); // what it circles
    this.onMove = onMove;
    this.onRest = onRest;
    /** @type {any} */
    this.timer = null;
    /** @type {Map<number, {x: number, y: number}>} */
    this.pointers = new Map();
    this.travelled = 0; // pixels since the first pointer went down: more than a few and it was no click
    surface.addEventListener("pointerdown", (event) => {
      surface.setPointerCapture(event.pointerId);
      if (!this.pointers.size) this.travelled = 0;
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    surface.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, (event) => this.pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    surface.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.change({ zoom: Math.exp(Math.sign(event.deltaY) * Math.min(60, Math.abs(event.deltaY)) * 0.002) });
    }, { passive: false });
    surface.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: { turn: -0.12 }, ArrowRight: { turn: 0.12 }, ArrowUp: { lift: 0.08 }, ArrowDown: { lift: -0.08 }, "+": { zoom: 0.9 }, "-": { zoom: 1.1 } }[event.key];
      if (!by) return;
      event.preventDefault();
      this.change(by);
    });
  }

  /** @param {PointerEvent} event */
  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    this.travelled += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) this.change({ zoom: Math.hypot(before.x - other.x, before.y - other.y) / Math.max(1, Math.hypot(now.x - other.x, now.y - other.y)) });
    } else this.change({ turn: (before.x - now.x) * 0.006, lift: (now.y - before.y) * 0.005 });
    this.pointers.set(event.pointerId, now);
  }

  /** @param {{turn?: number, lift?: number, zoom?: number}} by */
  change({ turn = 0, lift = 0, zoom = 1 }) {
    this.view = {
      azimuth: this.view.azimuth + turn, height: within(this.view.height + lift, LIMITS.height), distance: within(this.view.distance * zoom, LIMITS.distance),
    };
    this.moved();
  }

  moved() {
    this.onMove();
    this.rest();
  }

  /** Say where it stands, once nothing moves it. */
  rest() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.pointers.size ? this.rest() : this.onRest(this.text)), REST_MS);
  }

  /** The view as a word of the URL; null: as at first. */
  get text() {
    const text = viewText(this.view);
    return text === viewText(this.first) ? null : text;
  }

  /**
   * Go to the view of a link.
   * @param {string | undefined} text
   */
  goTo(text) {
    if ((text ?? null) === this.text) return;
    this.view = viewOf(text) ?? { ...this.first };
    this.onMove();
  }

  /** No more words: another view has the URL. */
  stop() {
    clearTimeout(this.timer);
    this.onRest = () => {};
  }

  /** Where the camera stands now. */
  get place() {
    return /** @type {Point} */ (position({ ...this.view, distance: this.view.distance * this.stretch }).map((x, i) => x + this.target[i]));
  }

  reset() {
    this.view = { ...this.first };
    this.moved();
  }
}
