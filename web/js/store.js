/**
 * One store for the page: immutable snapshots, listeners on parts of them.
 *
 * Listeners are called at most once an animation frame, with the newest value, and only when the part they selected is
 * another object or value than before. While the page is hidden nobody is called; when it shows again, everybody once.
 */

/**
 * @template S
 * @typedef {object} Listener
 * @property {(state: S) => unknown} select
 * @property {(value: any, state: S) => void} listen
 * @property {unknown} last
 */

/** @template {object} S */
export class Store {
  /**
   * @param {S} state the first snapshot
   * @param {{ schedule?: (work: () => void) => unknown, isHidden?: () => boolean }} [platform] for tests
   */
  constructor(state, platform = {}) {
    this.state = Object.freeze(state);
    this.schedule = platform.schedule ?? ((work) => requestAnimationFrame(work));
    this.isHidden = platform.isHidden ?? (() => document.hidden);
    /** @type {Set<Listener<S>>} */
    this.listeners = new Set();
    this.planned = false;
  }

  /** @returns {Readonly<S>} */
  get() {
    return this.state;
  }

  /**
   * Replace some fields.
   * @param {Partial<S> | ((state: S) => Partial<S>)} change
   */
  set(change) {
    const fields = typeof change === "function" ? change(this.state) : change;
    this.state = Object.freeze({ ...this.state, ...fields });
    this.plan();
  }

  /**
   * Be told when a part changes; called once at once.
   * @template T
   * @param {(state: S) => T} select
   * @param {(value: T, state: S) => void} listen
   * @returns {() => void} to be told no more
   */
  subscribe(select, listen) {
    const listener = { select, listen, last: select(this.state) };
    this.listeners.add(listener);
    listen(/** @type {T} */ (listener.last), this.state);
    return () => this.listeners.delete(listener);
  }

  plan() {
    if (this.planned || this.isHidden()) return;
    this.planned = true;
    this.schedule(() => this.flush());
  }

  /** Tell the listeners whose part changed. */
  flush() {
    this.planned = false;
    for (const listener of [...this.listeners]) {
      if (!this.listeners.has(listener)) continue;
      const value = listener.select(this.state);
      if (Object.is(value, listener.last)) continue;
      listener.last = value;
      listener.listen(value, this.state);
    }
  }
}

/**
 * A selector of several fields, equal while each of them is.
 * @template S
 * @template {(keyof S)[]} K
 * @param {K} names
 * @returns {(state: S) => Pick<S, K[number]>}
 */
export function pick(...names) {
  /** @type {Pick<S, K[number]> | null} */
  let last = null;
  return (state) => {
    if (last !== null && names.every((name) => Object.is(/** @type {any} */ (last)[name], state[name]))) return last;
    last = /** @type {Pick<S, K[number]>} */ (Object.fromEntries(names.map((name) => [name, state[name]])));
    return last;
  };
}
