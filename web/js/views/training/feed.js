/** `/ws/training`: the metrics of a run, first those written before, then each as it is written. */

import { ReconnectingSocket } from "../../reconnecting.js";
import { append } from "./columns.js";

/** @typedef {import("./columns.js").MetricRow} MetricRow */

const FINAL = new Map([[4404, "The server has no run of this name."]]);

export class TrainingFeed extends ReconnectingSocket {
  /** @type {MetricRow[]} */
  rows = [];
  /** @type {any} of the run, null while it is not there */
  config = null;
  fresh = true; // every connection begins with all lines

  /**
   * @param {string | URL} url
   * @param {(rows: MetricRow[], config: any) => void} onRows
   * @param {import("../../reconnecting.js").SocketOptions} [options]
   */
  constructor(url, onRows, options = {}) {
    super(url, { final: FINAL, ...options });
    this.onRows = onRows;
  }

  /**
   * @override
   * @param {any} message
   */
  heed(message) {
    if (message.type === "training_hello") {
      this.greeted();
      this.fresh = true;
      this.config = message.config;
      this.onRows(this.rows, this.config);
    } else if (message.type === "training_metrics") {
      this.rows = append(this.rows, message.rows, message.restart || this.fresh);
      this.fresh = false;
      this.onRows(this.rows, this.config);
    }
  }
}
