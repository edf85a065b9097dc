/** Learning curves of a run while it learns, and a small training started from here. */
import { token } from "../api.js";
import { h, setText } from "../dom.js";
import { patience, socketUrl } from "../reconnecting.js";
import { toast } from "../toast.js";
import { confirmed } from "./kit/confirm.js";
import { explain } from "./kit/explain.js";
import { baselineLevels, referenceRun, validationLevels } from "./training/baselines.js";
import { best, eta } from "./training/columns.js";
import { Curves } from "./training/curves.js";
import { TrainingFeed } from "./training/feed.js";
import { trainingForm } from "./training/form.js";

/**
 * @typedef {{name: string, scenario: string|null, algorithm: string|null, created: number, iteration: number|null,
 *   iterations: number|null, seconds: number|null, score: number|null, checkpoints: string[], evaluated: boolean}} Run
 */
const REFRESH_MS = 2000;
const FACTS = /** @type {const} */ ([
  ["state", "State", "What the training does."], ["iteration", "Iteration", "Updates of the policies so far, and how many are planned; with a limit in minutes the run may end before."],
  ["best", "Best score", "On the validation weeks, which are neither trained on nor in the scoreboard."], ["time", "Trained", "Wall time of training so far."],
  ["steps", "Env-steps", "Steps of a community so far, all communities of the batch together."], ["rate", "Agent-steps/s", "Throughput: prosumers × steps a second, now."], ["eta", "Still to go", "From the pace of the last 20 iterations."],
]);

class TrainingPage {
  /** @param {import("../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Run[]} */
    this.runs = [];
    /** @type {any} */
    this.status = null;
    this.open = "";
    this.known = "";
    /** @type {(() => void)[]} */
    this.leave = [];
    /** @type {any[]} */
    this.levels = [];
    this.source = "";
    this.gone = false;
  }

  /** @param {HTMLElement} root */
  mount(root) {
    this.curves = new Curves(this.context.router.route.params.by ?? "all", (by) => this.context.router.set({ by: by === "all" ? null : by }));
    this.list = h("div");
    this.title = h("h1", { text: "Training" });
    this.about = h("span", { class: "muted" });
    this.stop = h("button", { class: "button danger", text: "Stop", hidden: true, onclick: () => this.end() });
    /** @type {Record<string, HTMLElement>} */
    this.facts = {};
    const facts = h("dl", { class: "facts card" }, FACTS.map(([key, label, what]) => {
      /** @type {any} */ (this.facts)[key] = h("dd", { class: "num", text: "–" });
      return explain(h("div", {}, h("dt", { text: label }), /** @type {any} */ (this.facts)[key]), { title: label, text: what });
    }));
    this.bar = h("progress", { class: "progress wide", max: 1, value: 0, "aria-label": "Progress of the training", hidden: true });
    this.log = h("pre", { class: "log" });
    this.logCard = h("details", { class: "card as-table" }, h("summary", { text: "Log" }), this.log);
    this.empty = h("div", { class: "notice" }, h("strong", { text: "No training yet" }), h("p", { text: "Start one on the left: the preset ends by itself after some minutes. The policies can then be watched live and compared." }));
    this.body = h("div", { class: "results", hidden: true }, facts, this.bar, this.curves.element, this.logCard);
    const form = trainingForm(this.context, (run) => {
      if (this.gone) return;
      this.context.router.go("training", { run });
      this.refresh();
    });
    root.append(h("div", { class: "page with-side" },
      h("div", { class: "side" },
        h("section", { class: "card" }, h("header", {}, h("h2", { text: "Runs" })), h("div", { class: "body" }, this.list)),
        h("section", { class: "card" }, h("header", {}, h("h2", { text: "New training" })), h("div", { class: "body" }, form))),
      h("div", { class: "content" }, h("div", { class: "page-head" }, this.title, this.about, h("span", { class: "push" }), this.stop), this.empty, this.body)));
    const timer = setInterval(() => this.refresh(), REFRESH_MS);
    let lost = false;
    this.leave = [
      () => clearInterval(timer), this.context.router.subscribe((route) => route.view === "training" && this.route(route.params)),
      this.context.store.subscribe((state) => state.connection.state, (state) => {
        if (state === "open" && this.feed?.connection.state === "unauthorized") this.feed.authenticate(); // the token was asked for meanwhile
        else if (state === "open" && lost) this.feed?.connect(); // and not after its own patience
        lost = state === "waiting" || (lost && state !== "open");
      }),
    ];
    this.refresh();
  }

  unmount() {
    this.gone = true;
    this.leave.forEach((end) => end());
    this.feed?.close();
    this.curves?.destroy();
  }

  async refresh() {
    if (document.hidden || this.gone) return;
    const { api } = this.context;
    try {
      const answers = await Promise.all([api.get("api/runs"), api.get("api/training?lines=40")]);
      if (this.gone) return;
      [this.runs, this.status] = answers;
    } catch (error) {
      if (!this.known && !this.gone) toast(/** @type {Error} */ (error).message, "error");
      return;
    }
    const text = JSON.stringify([this.runs, this.status.state, this.open]);
    if (text !== this.known) this.drawList();
    this.known = text;
    this.route(this.context.router.route.params);
    this.tell();
  }

  drawList() {
    const { format, router } = this.context;
    const focused = this.list?.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.run : null;
    this.list?.replaceChildren(this.runs.length ? h("ul", { class: "pick-list" }, this.runs.map((run) => {
      const running = this.isRunning(run.name);
      return h("li", {}, h("button", { type: "button", class: "pick", dataset: { run: run.name }, "aria-current": run.name === this.open ? "true" : null, onclick: () => router.go("training", { run: run.name }) },
        h("span", { class: "pick-title", text: run.name }),
        h("span", { class: "pick-detail num", text: `${run.algorithm ?? "?"} on ${run.scenario ?? "?"} · ${format.number(run.iteration, 0)} iterations` }),
        h("span", { class: `badge ${running ? "good" : ""}` }, running && h("span", { class: "dot" }), running ? "training" : h("span", { class: "num", text: format.number(run.score, 3) }))));
    })) : h("p", { class: "faint empty", text: "None yet." }));
    if (focused) /** @type {HTMLElement|null} */ (this.list?.querySelector(`[data-run="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {string} name */
  isRunning(name) {
    return this.status?.run === name && ["running", "stopping"].includes(this.status.state);
  }

  /** @param {Record<string, string>} params */
  route(params) {
    if (!this.status) return;
    const running = ["running", "stopping"].includes(this.status.state) ? this.status.run : null;
    const name = params.run ?? running ?? this.runs[0]?.name ?? "";
    if (this.empty) this.empty.hidden = Boolean(name);
    if (this.body) this.body.hidden = !name;
    if (!name) return;
    if (!params.run) { // a link shows this one tomorrow, too
      this.context.router.set({ run: name });
      return;
    }
    const exists = this.runs.some((run) => run.name === name);
    if (name !== this.open) {
      this.open = name;
      this.feed?.close();
      this.feed = undefined;
      this.levels = [];
      this.source = "";
      this.curves?.show([], [], {}, []);
      this.drawList();
    }
    if (exists && !this.feed) this.follow(name);
    this.compare();
    this.tell();
  }

  /** @param {string} name */
  follow(name) {
    const { api, store } = this.context;
    const url = socketUrl(api, `ws/training?run=${encodeURIComponent(name)}`);
    this.feed = new TrainingFeed(url, () => this.draw(), { token, silence_ms: patience(store.get().hello?.limits.heartbeat_s ?? 5) });
    this.feed.connect();
  }

  /** Fetch the scoreboard to compare the score with, as soon as there is one. */
  async compare() {
    const { open } = this;
    const source = referenceRun(this.runs, open, this.feed?.config?.scenario?.rewards)?.name ?? "";
    if (!source || source === this.source) return;
    this.source = source;
    const board = await this.context.api.get(`api/runs/${source}/scoreboard`).catch(() => null);
    if (this.gone || this.open !== open || this.source !== source) return;
    this.levels = baselineLevels(board);
    this.draw();
  }

  draw() {
    if (!this.feed || !this.curves) return;
    this.compare();
    const scenario = this.feed.config?.scenario;
    const names = (scenario?.prosumers ?? []).flatMap((/** @type {any} */ p) => (p.count > 1 ? Array.from({ length: p.count }, (_, k) => `${p.name}-${k + 1}`) : [p.name]));
    this.curves.show(this.feed.rows, names, scenario?.rewards ?? {}, this.levels.length ? this.levels : validationLevels(this.feed.rows));
    this.tell();
  }

  tell() {
    const { format } = this.context;
    const { facts, feed, status } = this;
    if (!facts || !this.open) return;
    const rows = feed?.rows ?? [];
    const last = rows.at(-1);
    const train = feed?.config?.train;
    const running = this.isRunning(this.open);
    const run = this.runs.find((item) => item.name === this.open);
    const mine = status?.run === this.open;
    const top = best(rows);
    const over = run?.evaluated || last?.progress >= 1;
    const state = running ? (rows.length ? status.state : "preparing") : mine ? status.state : over ? "finished" : "not finished";
    const say = {
      state, iteration: last ? `${format.number(last.iteration, 0)}${train ? ` of ${train.max_minutes ? "≤ " : ""}${format.number(train.iterations, 0)}` : ""}` : "–",
      best: top ? `${format.number(top.score, 3)} at ${top.iteration}` : "–", time: format.duration(last?.seconds), steps: format.number(last?.env_steps, 0),
      rate: last ? `${format.number(last.agent_steps_per_s / 1000, 1)} k` : "–", eta: running ? format.duration(eta(rows, train?.iterations ?? null, train?.max_minutes ?? null)) : "–",
    };
    for (const [key, text] of Object.entries(say)) setText(facts[key], text);
    /** @type {HTMLElement} */ (facts.eta.parentElement).hidden = !running;
    if (this.title) setText(this.title, this.open);
    if (this.about) setText(this.about, `${run?.algorithm ?? status?.algorithm ?? ""} on ${run?.scenario ?? status?.scenario ?? ""}`);
    if (this.stop) {
      this.stop.hidden = !running;
      setText(this.stop, status?.state === "stopping" ? "Stopping…" : "Stop");
    }
    if (this.bar) {
      this.bar.hidden = !running;
      this.bar.value = status?.progress ?? 0;
    }
    if (this.logCard) this.logCard.hidden = !mine || !status.log.length;
    if (this.log) setText(this.log, (mine ? status.log : []).join("\n"));
  }

  async end() {
    if (!(await confirmed("Stop this training?", "It saves a checkpoint and ends; it can be resumed from the command line.", "Stop"))) return;
    await this.context.api.delete("api/training").catch((error) => toast(error.message, "error"));
    await this.refresh();
  }
}

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  const page = new TrainingPage(context);
  return { title: "Training", mount: (root) => page.mount(root), unmount: () => page.unmount() };
}
