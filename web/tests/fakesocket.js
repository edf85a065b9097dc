/** What the class sees of a WebSocket, with the server's side in the test's hands. */
export class FakeSocket {
  constructor() {
    this.readyState = 0;
    /** @type {any[]} */
    this.sent = [];
    this.onopen = () => {};
    /** @param {{ data: string }} _event */
    this.onmessage = (_event) => {};
    /** @param {{ code: number, reason: string }} _event */
    this.onclose = (_event) => {};
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  accept() {
    this.readyState = 1;
    this.onopen();
  }

  /** @param {any} message */
  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  commands(name = "") {
    return this.sent.filter((message) => message.type === "command" && (name === "" || message.command === name));
  }
}
