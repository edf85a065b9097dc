/** The scenario being edited: every field of it, and what it is based on. */

import { at, difference, set } from "./draft.js";

export class Model {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.base = "";
    /** @type {any} */
    this.original = {};
    /** @type {any} */
    this.value = {};
  }

  /**
   * @param {string} base name of a scenario
   * @param {any} config every field of it
   */
  begin(base, config) {
    this.base = base;
    this.original = config;
    this.value = structuredClone(config);
  }

  /** @param {string} path */
  get(path) {
    return at(this.value, path);
  }

  /**
   * @param {string} path
   * @param {any} value
   */
  set(path, value) {
    this.value = set(this.value, path, value);
    this.onChange();
  }

  /** What is sent: the base and what differs from it. */
  get draft() {
    const { name: _, ...changed } = difference(this.value, this.original);
    return { base: this.base, ...changed };
  }

  get changed() {
    return Object.keys(this.draft).length > 1;
  }
}
