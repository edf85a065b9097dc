/** Long work on the server: what there is, how far it is, cancel and forget. */

import { h } from "../../dom.js";
import { toast } from "../../toast.js";
import { confirmed } from "./confirm.js";

/**
 * @typedef {{id: string, kind: string, state: "queued"|"running"|"done"|"failed"|"cancelled", request: any,
 *   progress: number, message: string, error: {code: string, message: string}|null, created: number, started: number|null, ended: number|null}} Job
 */
const OVER = ["done", "failed", "cancelled"];
/** @param {Job} job */
export const isOver = (job) => OVER.includes(job.state);

export class JobWatch {
  /**
   * @param {import("../../api.js").Api} api
   * @param {"comparisons"|"scalability"} kind
   * @param {(jobs: Job[]) => void} onChange
   */
  constructor(api, kind, onChange) {
    this.api = api;
    this.kind = kind;
    this.onChange = onChange;
    /** @type {(job: Job) => void} */
    this.onRemoved = () => {};
    this.known = "";
    this.timer = 0;
    this.stopped = false;
  }

  async refresh() {
    clearTimeout(this.timer);
    let pause = 5000;
    try {
      const { jobs } = await this.api.get(`api/${this.kind}?limit=50`);
      if (this.stopped) return;
      const text = JSON.stringify(jobs);
      if (text !== this.known) {
        this.known = text;
        this.onChange(jobs);
      }
      if (jobs.some((/** @type {Job} */ job) => !isOver(job))) pause = 700;
    } catch (error) {
      if (!this.known) toast(/** @type {Error} */ (error).message, "error");
    }
    if (!this.stopped) this.timer = window.setTimeout(() => this.refresh(), pause);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** @param {Job} job */
  async cancel(job) {
    await this.api.post(`api/${this.kind}/${job.id}/cancel`).catch((error) => toast(error.message, "error"));
    await this.refresh();
  }

  /** @param {Job} job */
  async remove(job) {
    if (!(await confirmed("Delete this result?", "Its numbers are lost; measuring again takes as long as it took.", "Delete"))) return;
    await this.api.delete(`api/${this.kind}/${job.id}`).then(() => this.onRemoved(job), (error) => toast(error.message, "error"));
    await this.refresh();
  }
}

/**
 * Past and present jobs, one of which is shown.
 * @param {Job[]} jobs
 * @param {string|null} chosen
 * @param {(job: Job) => {title: string, detail: string}} describe
 * @param {(job: Job) => void} choose
 * @param {JobWatch} watch
 */
export function jobList(jobs, chosen, describe, choose, watch) {
  if (!jobs.length) return h("p", { class: "faint empty", text: "None yet." });
  return h("ul", { class: "pick-list" }, ...jobs.map((job) => {
    const { title, detail } = describe(job);
    const state = job.state === "done" ? "" : job.state === "running" ? `${Math.round(job.progress * 100)} %` : job.state;
    return h("li", {},
      h("button", { type: "button", class: "pick", "aria-current": job.id === chosen ? "true" : null, onclick: () => choose(job), dataset: { job: job.id } },
        h("span", { class: "pick-title", text: title }),
        h("span", { class: "pick-detail", text: detail }),
        state && h("span", { class: `badge ${job.state === "failed" ? "poor" : "fair"}` }, h("span", { class: "dot" }), state)));
  }));
}

/**
 * How far a job is, with a way to end it; why it failed.
 * @param {Job} job
 * @param {JobWatch} watch
 */
export function jobProgress(job, watch) {
  if (job.state === "failed") {
    return h("div", { class: "notice" }, h("strong", { text: job.error?.code === "interrupted" ? "The server stopped meanwhile" : "It failed" }),
      h("p", { text: job.error?.message ?? "Start it again." }), h("button", { class: "button", text: "Delete", onclick: () => watch.remove(job) }));
  }
  if (job.state === "cancelled") return h("div", { class: "notice" }, h("strong", { text: "Cancelled" }), h("button", { class: "button", text: "Delete", onclick: () => watch.remove(job) }));
  const percent = Math.round(job.progress * 100);
  return h("div", { class: "notice" },
    h("strong", { text: job.state === "queued" ? "Waiting for its turn" : `${percent} %` }),
    h("progress", { class: "progress", max: 100, value: percent, "aria-label": "Progress" }),
    h("p", { text: job.message || (job.state === "queued" ? "One job runs at a time." : "Starting…") }),
    h("button", { class: "button", text: "Cancel", onclick: () => watch.cancel(job) }));
}
