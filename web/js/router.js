/**
 * What is shown is in the URL: `#/live?agent=agent_2`. A link reproduces the view; back and forward work.
 * A token in the fragment (`#token=…`) is taken out before it is read here (`api.takeToken`).
 */

/** @typedef {{ view: string, params: Record<string, string> }} Route */

export class Router {
  /** @param {string} fallback the view of an empty URL */
  constructor(fallback) {
    this.fallback = fallback;
    /** @type {Set<(route: Route) => void>} */
    this.listeners = new Set();
    this.route = parse(location.hash, fallback);
    addEventListener("hashchange", () => this.changed());
  }

  /** @param {(route: Route) => void} listen called at every change, and once at once */
  subscribe(listen) {
    this.listeners.add(listen);
    listen(this.route);
    return () => this.listeners.delete(listen);
  }

  /**
   * Show another view.
   * @param {string} view
   * @param {Record<string, string>} [params]
   */
  go(view, params = {}) {
    location.hash = href(view, params);
  }

  /**
   * Change parameters of this view; null removes one. No new entry in the history.
   * @param {Record<string, string | null>} change
   */
  set(change) {
    const params = { ...this.route.params };
    for (const [name, value] of Object.entries(change)) {
      if (value === null) delete params[name];
      else params[name] = value;
    }
    const next = href(this.route.view, params);
    if (next === location.hash) return;
    history.replaceState(null, "", next);
    this.changed();
  }

  changed() {
    this.route = parse(location.hash, this.fallback);
    for (const listen of [...this.listeners]) listen(this.route);
  }
}

/**
 * @param {string} view
 * @param {Record<string, string>} [params]
 */
export function href(view, params = {}) {
  const query = new URLSearchParams(params).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/**
 * @param {string} hash
 * @param {string} fallback
 * @returns {Route}
 */
export function parse(hash, fallback) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { view: /^[a-z0-9-]+$/.test(path) ? path : fallback, params: Object.fromEntries(new URLSearchParams(query)) };
}
