/**
 * The connection to `/ws/grid`: comes back by itself, says what arrives, and answers commands with promises.
 *
 * - Reconnects after 0.5, 1, 2 … 10 s, each a random half to whole of that, so that viewers do not return all at once.
 * - Close code 4401 (wrong or no token) ends it until `authenticate(token)`; 4400 (malformed) ends it for good.
 * - Silence for longer than three heartbeats counts as lost.
 * - What was last received is nobody's business here: the store keeps it, the page greys it.
 */

/** @typedef {import("./types.d.ts").ServerMessage} ServerMessage */
/** @typedef {import("./types.d.ts").StatusBody} StatusBody */
/** @typedef {import("./types.d.ts").ErrorDetail} ErrorDetail */
/** @typedef {import("./types.d.ts").Connection} Connection */

export const FIRST_DELAY_MS = 500;
export const LAST_DELAY_MS = 10_000;
const PING_MS = 3000;
const ANSWER_MS = 60_000;
export const UNAUTHORIZED = 4401;
const FINAL = new Map([[4400, "The server did not understand this page. Reload it."]]);
const REASONS = new Map([
  [1001, "The server was stopped."], [1006, "The connection was lost."], [1013, "The server has as many viewers as it takes."],
  [4403, "The server does not know this address."], [4429, "Too many messages."],
]);

/** A command the server did not do. */
export class CommandError extends Error {
  /**
   * @param {ErrorDetail} error
   * @param {Record<string, unknown> | null} [details]
   */
  constructor(error, details = null) {
    super(error.message);
    this.name = "CommandError";
    this.code = error.code;
    this.field = error.field;
    this.details = details;
  }
}

/**
 * @typedef {object} Pending
 * @property {(status: StatusBody) => void} resolve
 * @property {(error: CommandError) => void} reject
 * @property {any} timer
 */

/**
 * @typedef {object} SocketOptions
 * @property {() => string | null} [token] the token to say first, if there is one
 * @property {(url: string | URL, protocols: string[]) => WebSocket} [open] for tests
 * @property {() => number} [random] for tests
 */

export class GridWebSocket {
  /** @type {(message: ServerMessage) => void} */
  onMessage = () => {};
  /** @type {(error: ErrorDetail) => void} an error that answers no command */
  onError = () => {};
  /** @type {() => void} */
  onConnect = () => {};
  /** @type {(connection: Connection) => void} at every change */
  onState = () => {};

  /**
   * @param {string | URL} url
   * @param {SocketOptions} [options]
   */
  constructor(url, options = {}) {
    this.url = url;
    this.token = options.token ?? (() => null);
    this.open = options.open ?? ((address, protocols) => new WebSocket(address, protocols));
    this.random = options.random ?? Math.random;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Connection} */
    this.connection = { state: "closed", latency_ms: null, attempt: 0, retry_at: null, reason: null };
    /** @type {Map<string, Pending>} */
    this.pending = new Map();
    this.count = 0;
    this.silence_ms = 15_000;
    this.heard = 0;
    /** @type {any} */
    this.retryTimer = null;
    /** @type {any} */
    this.pingTimer = null;
  }

  /** Connect now, whatever is planned. */
  connect() {
    clearTimeout(this.retryTimer);
    this.drop();
    this.change({ state: "connecting", retry_at: null });
    const socket = this.open(this.url, ["grid.v1"]);
    this.socket = socket;
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
   * Ask the server to do something.
   * @param {string} command one of `hello.commands`
   * @param {Record<string, unknown>} [args]
   * @returns {Promise<StatusBody>} how things are after it; rejects with a CommandError
   */
  command(command, args = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== 1 || this.connection.state !== "open") {
        const message = "Not connected to the server; nothing was changed.";
        reject(new CommandError({ code: "disconnected", message, field: null }));
        return;
      }
      this.count += 1;
      const id = `c${this.count}`;
      const timer = setTimeout(() => {
        this.fail(id, { code: "timeout", message: `No answer to ${command} within a minute.`, field: null });
      }, ANSWER_MS);
      this.pending.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ type: "command", id, command, arguments: args }));
    });
  }

  /** @param {WebSocket} socket */
  opened(socket) {
    if (socket !== this.socket) return;
    const token = this.token();
    if (token) socket.send(JSON.stringify({ type: "auth", token }));
    this.heard = Date.now();
    this.pingTimer = setInterval(() => this.ping(), PING_MS);
  }

  /**
   * @param {WebSocket} socket
   * @param {unknown} data
   */
  received(socket, data) {
    if (socket !== this.socket || typeof data !== "string") return;
    this.heard = Date.now();
    /** @type {ServerMessage} */
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.onError({ code: "malformed", message: "The server sent something that is not JSON.", field: null });
      return;
    }
    if (message.type === "hello") {
      this.silence_ms = Math.max(5000, 3000 * message.limits.heartbeat_s);
      if (this.connection.state !== "open") {
        this.change({ state: "open", attempt: 0, retry_at: null, reason: null });
        this.onConnect();
        this.ping();
      }
    }
    if (message.type === "ack") this.settle(String(message.id), message.status);
    if (message.type === "error" && !this.fail(String(message.id), message.error, message.details)) this.onError(message.error);
    this.onMessage(message);
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
    const final = FINAL.get(code);
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

  /** The round trip is the latency; no sign of life for long is the end. */
  ping() {
    if (Date.now() - this.heard > this.silence_ms) {
      this.drop();
      this.retry("The server fell silent.");
      return;
    }
    if (this.connection.state !== "open") return;
    const sent = performance.now();
    this.command("ping").then(
      () => this.change({ latency_ms: performance.now() - sent }),
      () => {}, // the connection's end says it
    );
  }

  /** Forget the socket and whoever waits for an answer from it. */
  drop() {
    clearInterval(this.pingTimer);
    const socket = this.socket;
    this.socket = null;
    if (socket && socket.readyState < 2) socket.close();
    for (const id of [...this.pending.keys()]) {
      this.fail(id, { code: "disconnected", message: "The connection was lost before the server answered.", field: null });
    }
    if (this.connection.latency_ms !== null) this.change({ latency_ms: null });
  }

  /** @param {string} id @param {StatusBody} status */
  settle(id, status) {
    const pending = this.pending.get(id);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.resolve(status);
  }

  /**
   * @param {string} id
   * @param {ErrorDetail} error
   * @param {Record<string, unknown> | null} [details]
   * @returns {boolean} whether somebody waited for it
   */
  fail(id, error, details = null) {
    const pending = this.pending.get(id);
    if (!pending) return false;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.reject(new CommandError(error, details));
    return true;
  }

  /** @param {Partial<Connection>} fields */
  change(fields) {
    this.connection = { ...this.connection, ...fields };
    this.onState(this.connection);
  }
}
