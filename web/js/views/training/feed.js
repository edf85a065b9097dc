/** `/ws/training`: the metrics of a run, first those written before, then each as it is written. Reconnects. */

import { token } from "../../api.js";
import { append } from "./columns.js";

export class TrainingFeed {
  /**
   * @param {import("../../api.js").Api} api
   * @param {string} run
   * @param {(rows: import("./columns.js").MetricRow[], config: any) => void} onRows
   * @param {(connected: boolean) => void} onState
   */
  constructor(api, run, onRows, onState) {
    this.url = api.url(`ws/training?run=${encodeURIComponent(run)}`);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.onRows = onRows;
    this.onState = onState;
    /** @type {import("./columns.js").MetricRow[]} */
    this.rows = [];
    this.config = null;
    this.closed = false;
    this.timer = 0;
    this.delay = 500;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    let fresh = true;
    socket.onopen = () => {
      const secret = token();
      if (secret) socket.send(JSON.stringify({ type: "auth", token: secret }));
      this.onState(true);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      this.delay = 500;
      if (message.type === "training_hello") {
        this.config = message.config;
        this.onRows(this.rows, this.config);
      } else if (message.type === "training_metrics") {
        this.rows = append(this.rows, message.rows, message.restart || fresh);
        fresh = false;
        this.onRows(this.rows, this.config);
      }
    };
    socket.onclose = (event) => {
      if (this.closed) return;
      this.onState(false);
      if (event.code === 4404 || event.code === 4401) return;
      this.timer = window.setTimeout(() => this.connect(), this.delay * (0.75 + Math.random() / 2));
      this.delay = Math.min(this.delay * 2, 10_000);
    };
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }
}
