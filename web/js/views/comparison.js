/** Policies against each other, rules, model predictive control and the optimum; and what size costs. */
import { h } from "../dom.js";
import { count } from "../format.js";
import { href } from "../router.js";
import { toast } from "../toast.js";
import { comparisonForm } from "./comparison/form.js";
import { ResultPanel } from "./comparison/result.js";
import { scalabilityForm, ScalabilityPanel } from "./comparison/scalability.js";
import { isOver, jobList, jobProgress, JobWatch } from "./kit/jobs.js";

/**
 * @typedef {import("./kit/jobs.js").Job} Job
 * @typedef {"comparisons"|"scalability"} Kind
 */
const TABS = /** @type {{kind: Kind, label: string}[]} */ ([{ kind: "comparisons", label: "Policies" }, { kind: "scalability", label: "Scalability" }]);

const NOTHING = {
  comparisons: { title: "Nothing compared yet", text: "Choose policies and scenarios on the left: all run the same episodes of weeks that no policy was trained on." },
  scalability: { title: "Nothing measured yet", text: "Choose numbers of prosumers on the left: a community of each is made and timed." },
};

/** @param {string} iso seconds since 1970 */
const when = (iso) => iso.slice(5, 16).replace("T", " ");

/**
 * @param {Job} job
 * @returns {{title: string, detail: string}}
 */
function describe(job) {
  const { request } = job;
  const time = when(new Date(job.created * 1000 - new Date().getTimezoneOffset() * 60_000).toISOString());
  if (job.kind === "scalability") return { title: `${request.sizes.join(", ")} prosumer${request.sizes.join() === "1" ? "" : "s"}`, detail: `${request.policy} · ${time}` };
  const title = request.scenarios.length > 2 ? `${request.scenarios.length} scenarios` : request.scenarios.join(", ");
  return { title, detail: `${count(request.policies.length, "policy", "policies")}, ${count(request.seeds?.length ?? request.episodes, "episode")} · ${time}` };
}

class ComparisonPage {
  /** @param {import("../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    this.kind = /** @type {Kind} */ ("comparisons");
    /** @type {Job[]} */
    this.jobs = [];
    this.shown = "";
    this.gone = false;
    this.leave = () => {};
  }

  /** @param {HTMLElement} root */
  mount(root) {
    this.side = h("div", { class: "side" });
    this.content = h("div", { class: "content", "aria-live": "off" });
    this.tabs = TABS.map(({ kind, label }) => h("a", { href: href("comparison", kind === "comparisons" ? {} : { kind }), text: label, dataset: { kind } }));
    root.append(h("div", { class: "page with-side" },
      h("div", { class: "page-head" }, h("h1", { text: "Compare" }), h("nav", { class: "tabs", "aria-label": "What to compare" }, this.tabs)),
      this.side, this.content));
    this.leave = this.context.router.subscribe((route) => route.view === "comparison" && this.route(route.params));
  }

  unmount() {
    this.gone = true;
    this.leave();
    this.watch?.stop();
    this.panel?.destroy();
  }

  /** @param {Record<string, string>} params */
  route(params) {
    const kind = params.kind === "scalability" ? "scalability" : "comparisons";
    if (kind !== this.kind || !this.watch) this.open(kind);
    const before = this.params;
    this.params = params;
    this.render();
    if (before && before.job === params.job && this.panel instanceof ResultPanel && this.panel.job?.id === params.job) this.panel.choose(params);
  }

  /** @param {Kind} kind */
  open(kind) {
    this.kind = kind;
    this.watch?.stop();
    this.panel?.destroy();
    this.shown = "";
    this.loaded = false;
    this.jobs = [];
    for (const tab of this.tabs ?? []) {
      if (tab.dataset.kind === kind) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    const { context } = this;
    const started = (/** @type {Job} */ job) => { if (!this.gone && this.kind === kind) this.choose(job); };
    this.panel = kind === "comparisons" ? new ResultPanel(context, (change) => context.router.set(change)) : new ScalabilityPanel(context);
    const form = kind === "comparisons" ? comparisonForm(context, started) : scalabilityForm(context, started);
    this.list = h("div", { class: "body" });
    this.side?.replaceChildren(
      h("section", { class: "card" }, h("header", {}, h("h2", { text: kind === "comparisons" ? "New comparison" : "New measurement" })), h("div", { class: "body" }, form)),
      h("section", { class: "card" }, h("header", {}, h("h2", { text: "Past ones" })), this.list));
    this.watch = new JobWatch(context.api, kind, (jobs) => {
      this.jobs = jobs;
      this.loaded = true;
      this.render();
    });
    this.watch.onRemoved = (job) => {
      if (this.gone) return;
      this.jobs = this.jobs.filter(({ id }) => id !== job.id);
      if (this.params?.job === job.id) context.router.go("comparison", kind === "scalability" ? { kind } : {});
    };
    this.watch.refresh();
  }

  /** @param {Job} job */
  choose(job) {
    if (!this.jobs.some((known) => known.id === job.id)) this.jobs = [job, ...this.jobs];
    const { kind } = this;
    this.context.router.go("comparison", { ...(kind === "scalability" ? { kind } : {}), job: job.id });
    this.watch?.refresh();
  }

  /** The job of the URL, or the newest. */
  get chosen() {
    return this.jobs.find((job) => job.id === this.params?.job) ?? (this.params?.job ? undefined : this.jobs[0]);
  }

  render() {
    const { chosen, watch } = this;
    if (!watch || !this.loaded) return;
    if (chosen && !this.params?.job) { // the newest, so that a link shows this one tomorrow, too
      this.context.router.set({ job: chosen.id });
      return;
    }
    const focused = this.list?.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.job : null;
    this.list?.replaceChildren(jobList(this.jobs, chosen?.id ?? null, describe, (job) => this.choose(job), watch));
    if (focused) /** @type {HTMLElement|null} */ (this.list?.querySelector(`[data-job="${focused}"]`))?.focus();
    const state = chosen ? `${chosen.id} ${chosen.state}` : "none";
    if (chosen && !isOver(chosen)) {
      this.shown = state;
      this.content?.replaceChildren(jobProgress(chosen, watch));
    } else if (state !== this.shown) {
      this.shown = state;
      this.showResult(chosen);
    }
  }

  /** @param {Job|undefined} job */
  async showResult(job) {
    if (!job) {
      const missing = Boolean(this.params?.job);
      const { title, text } = missing ? { title: "There is no such result", text: "It was deleted, or the link is of another server." } : NOTHING[this.kind];
      this.content?.replaceChildren(h("div", { class: "notice" }, h("strong", { text: title }), h("p", { text })));
      return;
    }
    if (job.state !== "done") {
      this.content?.replaceChildren(jobProgress(job, /** @type {JobWatch} */ (this.watch)));
      return;
    }
    try {
      const result = await this.context.api.get(`api/${this.kind}/${job.id}/result`);
      if (this.gone || this.chosen?.id !== job.id || !this.panel) return;
      this.content?.replaceChildren(this.panel.element,
        h("div", { class: "button-row end" }, h("button", { class: "button quiet danger", text: "Delete this result", onclick: () => this.watch?.remove(job) })));
      this.panel.show(job, result, this.params ?? {});
    } catch (error) {
      if (!this.gone) toast(/** @type {Error} */ (error).message, "error");
    }
  }
}

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  const page = new ComparisonPage(context);
  return { title: "Compare", mount: (root) => page.mount(root), unmount: () => page.unmount() };
}
