/**
 * The connection to `/ws/grid`: says what arrives, answers commands with promises, measures the round trip.
 *
 * What was last received is nobody's business here: the store keeps it, the page greys it.
 */
import { patience, ReconnectingSocket } from "./reconnecting.js";

/** @typedef {import("./types.d.ts").ServerMessage} ServerMessage */
/** @typedef {import("./types.d.ts").StatusBody} StatusBody */
/** @typedef {import("./types.d.ts").ErrorDetail} ErrorDetail */

const ANSWER_MS = 60_000;

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

export class GridWebSocket extends ReconnectingSocket {
  /** @type {(message: ServerMessage) => void} */
  onMessage = () => {};
  /** @type {(error: ErrorDetail) => void} an error that answers no command */
  onError = () => {};
  /** @type {() => void} */
  onConnect = () => {};
  /** @type {Map<string, Pending>} */
  pending = new Map();
  count = 0;

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

  /**
   * @override
   * @param {ServerMessage} message
   */
  heed(message) {
    if (message.type === "hello") {
      this.silence_ms = patience(message.limits.heartbeat_s);
      if (this.greeted()) {
        this.onConnect();
        this.beat();
      }
    }
    if (message.type === "ack") this.settle(String(message.id), message.status);
    if (message.type === "error" && !this.fail(String(message.id), message.error, message.details)) this.onError(message.error);
    this.onMessage(message);
  }

  /** @override */
  garbled() {
    this.onError({ code: "malformed", message: "The server sent something that is not JSON.", field: null });
  }

  /**
   * The round trip is the latency.
   * @override
   */
  beat() {
    const sent = performance.now();
    this.command("ping").then(
      () => this.change({ latency_ms: performance.now() - sent }),
      () => {}, // the connection's end says it
    );
  }

  /**
   * Whoever waits for an answer waits in vain.
   * @override
   */
  lost() {
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
}
