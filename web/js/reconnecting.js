/**
 * A WebSocket of the server that comes back by itself; `/ws/grid` and `/ws/training` say what they say on top of it.
 *
 * - Reconnects after 0.5, 1, 2 … 10 s, each a random half to whole of that, so that viewers do not return all at once.
 * - Close code 4401 (wrong or no token) ends it until `authenticate()`; 4400 (malformed) and codes of its own for good.
 * - Silence for longer than `silence_ms` counts as lost, while connecting too: a network that drops what is sent says nothing.
 */

/** @typedef {import("./types.d.ts").Connection} Connection */

/**
 * @typedef {object} SocketOptions
 * @property {() => string | null} [token] the token to say first, if there is one
 * @property {ReadonlyMap<number, string>} [final] close codes after which no attempt is worth it, and why
 * @property {number} [silence_ms] after which it counts as lost
 * @property {(url: string | URL, protocols: string[]) => WebSocket} [open] for tests
 * @property {() => number} [random] for tests
 */

export const FIRST_DELAY_MS = 500;
export const LAST_DELAY_MS = 10_000;
export const UNAUTHORIZED = 4401;
const BEAT_MS = 3000;
const FINAL = new Map([[4400, "The server did not understand this page. Reload it."]]);
const REASONS = new Map([
  [1001, "The server was stopped."], [1006, "The connection was lost."], [1013, "The server has as many viewers as it takes."],
  [4403, "The server does not know this address."], [4429, "Too many messages."],
]);

/**
 * How long a server that says something every so many seconds may be silent.
 * @param {number} heartbeat_s
 */
export const patience = (heartbeat_s) => Math.max(5000, 3000 * heartbeat_s);

/**
 * @param {import("./api.js").Api} api
 * @param {string} path
 */
export function socketUrl(api, path) {
  const url = api.url(path);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

export class ReconnectingSocket {
  /** @type {(connection: Connection) => void} at every change */
  onState = () => {};
  /** @type {() => void} what was sent before is lost: at every attempt after the server fell silent */
  onLost = () => {};

  /**
   * @param {string | URL} url
   * @param {SocketOptions} [options]
   */
  constructor(url, options = {}) {
    this.url = url;
    this.token = options.token ?? (() => null);
    this.final = new Map([...FINAL, ...(options.final ?? [])]);
    this.open = options.open ?? ((address, protocols) => new WebSocket(address, protocols));
    this.random = options.random ?? Math.random;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Connection} */
    this.connection = { state: "closed", latency_ms: null, attempt: 0, retry_at: null, reason: null };
    this.silence_ms = options.silence_ms ?? 15_000;
    this.heard = 0;
    this.silent = false;
    /** @type {any} */
    this.retryTimer = null;
    /** @type {any} */
    this.beatTimer = null;
  }

  /**
   * A message came.
   * @param {any} _message
   */
  heed(_message) {}

  /** Something came that is not JSON. */
  garbled() {}

  /** Every few seconds while it is open. */
  beat() {}

  /** The socket was let go: nothing it was asked is answered any more. */
  lost() {}

  /** Connect now, whatever is planned. */
  connect() {
    clearTimeout(this.retryTimer);
    this.drop();
    if (this.silent) this.onLost();
    this.change({ state: "connecting", retry_at: null });
    const socket = this.open(this.url, ["grid.v1"]);
    this.socket = socket;
    this.heard = Date.now();
    this.beatTimer = setInterval(() => this.listen(), BEAT_MS);
    socket.onopen = () => this.opened(socket);
    socket.onmessage = (event) => this.received(socket, event.data);
    socket.onclose = (event) => this.closed(socket, event.code, event.reason);
  }

  /** Connect with another token, after `unauthorized`. */
  authenticate() {
    this.change({ attempt: 0 });
    this.connect();
  }

  /** End it; no more attempts. */
  close() {
    clearTimeout(this.retryTimer);
    this.drop();
    this.change({ state: "closed", retry_at: null, reason: null });
  }

  /**
   * The server said hello: from here on it is open.
   * @returns {boolean} whether it was not before
   */
  greeted() {
    if (this.connection.state === "open") return false;
    this.silent = false;
    this.change({ state: "open", attempt: 0, retry_at: null, reason: null });
    return true;
  }

  /** @param {WebSocket} socket */
  opened(socket) {
    if (socket !== this.socket) return;
    const token = this.token();
    if (token) socket.send(JSON.stringify({ type: "auth", token }));
    this.heard = Date.now();
  }

  /**
   * @param {WebSocket} socket
   * @param {unknown} data
   */
  received(socket, data) {
    if (socket !== this.socket || typeof data !== "string") return;
    this.heard = Date.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.garbled();
      return;
    }
    this.heed(message);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  closed(socket, code, reason) {
    if (socket !== this.socket) return;
    this.drop();
    if (code === UNAUTHORIZED) {
      this.change({ state: "unauthorized", retry_at: null, reason: reason || "The server needs its token." });
      return;
    }
    const final = this.final.get(code);
    if (final) {
      this.change({ state: "closed", retry_at: null, reason: final });
      return;
    }
    this.retry(REASONS.get(code) ?? reason ?? "");
  }

  /** @param {string} reason */
  retry(reason) {
    const attempt = this.connection.attempt + 1;
    const most = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
    const wait = most * (0.5 + 0.5 * this.random());
    this.change({ state: "waiting", attempt, retry_at: Date.now() + wait, reason: reason || "The connection was lost." });
    this.retryTimer = setTimeout(() => this.connect(), wait);
  }

  /** No sign of life for long is the end. */
  listen() {
    if (Date.now() - this.heard > this.silence_ms) {
      this.silent = true;
      this.drop();
      this.retry(this.connection.state === "open" ? "The server fell silent." : "The server does not answer.");
    } else if (this.connection.state === "open") this.beat();
  }

  /** Forget the socket. */
  drop() {
    clearInterval(this.beatTimer);
    const socket = this.socket;
    this.socket = null;
    if (socket && socket.readyState < 2) socket.close();
    this.lost();
  }

  /** @param {Partial<Connection>} fields */
  change(fields) {
    this.connection = { ...this.connection, ...fields };
    this.onState(this.connection);
  }
}
