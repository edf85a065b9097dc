/** A camera that circles a point: drag to turn, wheel or pinch to come nearer, arrow keys for both. */

/**
 * @typedef {{azimuth: number, height: number, distance: number}} View radians, radians, metres
 */
export const LIMITS = { height: /** @type {[number, number]} */ ([0.12, 1.5]), distance: /** @type {[number, number]} */ ([14, 160]) };

/** @param {number} x @param {[number, number]} span */
const within = (x, [low, high]) => Math.min(high, Math.max(low, x));

/**
 * Where the camera stands.
 * @param {View} view
 * @returns {[number, number, number]}
 */
export function position({ azimuth, height, distance }) {
  const flat = Math.cos(height) * distance;
  return [Math.sin(azimuth) * flat, Math.sin(height) * distance, Math.cos(azimuth) * flat];
}

export class Orbit {
  /**
   * @param {HTMLElement} surface
   * @param {View} view to begin with
   * @param {() => void} onMove
   */
  constructor(surface, view, onMove) {
    this.view = { ...view };
    this.first = view;
    this.stretch = 1; // of the distance, where the picture is narrow
    this.onMove = onMove;
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
    this.onMove();
  }

  /** Where the camera stands now. */
  get place() {
    return position({ ...this.view, distance: this.view.distance * this.stretch });
  }

  reset() {
    this.view = { ...this.first };
    this.onMove();
  }
}
