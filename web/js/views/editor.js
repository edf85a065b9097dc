/** Make a scenario of your own: a form over a scenario that is there, checked by the server as one types. */
import { field, h, setText } from "../dom.js";
import { saveBlob } from "../api.js";
import { toast } from "../toast.js";
import { confirmed } from "./kit/confirm.js";
import { placed } from "./editor/draft.js";
import { bound, goToFault, knownPaths, showFaults } from "./editor/fields.js";
import { guard, kept } from "./editor/kept.js";
import { dataAndFeeder, events, links, pricePicture, prosumers, section, tariff, weights } from "./editor/sections.js";
import { uploads } from "./editor/upload.js";

const PAUSE_MS = 350;

class EditorPage {
  /** @param {import("../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    this.model = kept.model;
    /** @type {{name: string, kind: string}[]} */
    this.files = [];
    /** @type {any[]} */
    this.scenarios = [];
    /** @type {any} */
    this.checked = null;
    this.timer = 0;
    this.turn = 0;
    this.leave = () => {};
    this.opening = "";
    this.gone = false;
  }

  /** @param {HTMLElement} root */
  mount(root) {
    this.base = h("select", { onchange: () => this.context.router.set({ base: /** @type {HTMLSelectElement} */ (this.base).value }) });
    this.model.onChange = () => this.edited();
    if (!this.model.changed) this.model.begin("", {}); // it may have changed on the server
    this.name = h("input", { type: "text", maxlength: 64, placeholder: "my-community", autocomplete: "off", value: kept.name, oninput: () => {
      kept.name = /** @type {HTMLInputElement} */ (this.name).value;
      setText(/** @type {Node} */ (this.nameFault), "");
    } });
    this.nameFault = h("p", { class: "fault", role: "alert", hidden: true });
    this.verdict = h("div", { class: "verdict-box", role: "status" });
    this.unsaved = h("p", { class: "unsaved", role: "status", hidden: true }, h("span", {}), h("button", { type: "button", class: "button small", text: "Discard them", onclick: () => this.drop() }));
    this.save = h("button", { class: "button primary", text: "Save", onclick: () => this.keep(false) });
    this.file = h("button", { class: "button", text: "Download TOML", onclick: () => this.download() });
    this.remove = h("button", { class: "button danger", text: "Delete this scenario", hidden: true, onclick: () => this.forget() });
    this.toml = h("pre", { class: "log", tabindex: "0", "aria-label": "TOML" });
    this.form = h("div", { class: "content editor-form" });
    const side = h("div", { class: "side editor-side" },
      h("section", { class: "card" }, h("header", {}, h("h2", { text: "Scenario" })), h("div", { class: "body stack-form" },
        field("Based on", this.base), h("div", { class: "field" }, field("Save as", this.name), this.nameFault), this.verdict, this.unsaved, h("div", { class: "button-row" }, this.save, this.file), this.remove)),
      h("details", { class: "card as-table" }, h("summary", { text: "As TOML" }), this.toml),
      h("section", { class: "card" }, h("header", {}, h("h2", { text: "Your data" })), h("div", { class: "body" }, uploads(this.context, (files) => { this.files = files; this.draw(); }))));
    root.append(h("div", { class: "page with-side" }, h("div", { class: "page-head" }, h("h1", { text: "Scenarios" }), h("p", { class: "lead", text: "Start from one that is there and change it. A field that takes a range, such as 4 – 8, is drawn anew in every episode." })), side, this.form));
    this.leave = this.context.router.subscribe((route) => route.view === "editor" && this.scenarios.length && this.open(route.params.base ?? (this.model.base || "community-5")));
    this.load();
  }

  unmount() {
    this.gone = true;
    clearTimeout(this.timer);
    this.model.onChange = () => {};
    this.leave();
  }

  /** Whether what is typed is saved; a draft that was left is found again, and can be dropped. */
  tellUnsaved() {
    guard();
    const { model, unsaved } = this;
    if (!unsaved) return;
    unsaved.hidden = !model.changed;
    setText(/** @type {Node} */ (unsaved.firstElementChild), `Your unsaved changes to “${model.base}” stay while the page is open.`);
  }

  async drop() {
    const { base } = this.model;
    if (!(await confirmed("Discard your changes?", `They are not saved. “${base}” is opened as it is.`, "Discard them"))) return;
    if (this.gone) return;
    this.begin("", {});
    await this.open(base);
  }

  /**
   * @param {string} base name of a scenario
   * @param {any} config every field of it
   */
  begin(base, config) {
    this.model.begin(base, config);
    this.tellUnsaved();
  }

  async load() {
    try {
      const entries = await this.context.api.get("api/scenarios");
      if (this.gone) return;
      this.scenarios = entries.filter((/** @type {any} */ entry) => !entry.fault);
      this.base?.replaceChildren(...["shipped", "saved"].map((source) => ({ source, entries: this.scenarios.filter((entry) => entry.source === source) })).filter(({ entries }) => entries.length)
        .map(({ source, entries }) => h("optgroup", { label: source === "shipped" ? "Shipped" : "Saved" }, entries.map((entry) => h("option", { value: entry.name, text: entry.name })))));
      const { model } = this;
      const asked = this.context.router.route.params.base ?? (model.base || "community-5");
      if (model.base) await this.present();
      if (this.gone) return;
      if (asked !== model.base) await this.open(asked);
      else this.context.router.set({ base: asked });
    } catch (error) {
      if (!this.gone) toast(/** @type {Error} */ (error).message, "error");
    }
  }

  /** @param {string} base */
  async open(base) {
    if (base === this.opening) return;
    this.opening = base === this.model.base ? "" : base;
    if (!this.opening) return;
    const isWanted = () => !this.gone && this.opening === base;
    if (this.model.changed && !(await confirmed("Discard your changes?", `They are not saved. “${base}” is opened as it is.`, "Discard them"))) {
      if (!isWanted()) return;
      this.opening = "";
      this.context.router.set({ base: this.model.base });
      return;
    }
    if (!isWanted()) return;
    try {
      const { config } = await this.context.api.get(`api/scenarios/${encodeURIComponent(base)}`);
      if (!isWanted()) return;
      this.begin(base, config);
      await this.present();
    } catch (error) {
      if (!isWanted()) return;
      this.form?.replaceChildren(h("div", { class: "notice" }, h("strong", { text: "This scenario cannot be opened" }), h("p", { text: /** @type {Error} */ (error).message })));
    }
    if (isWanted()) this.opening = "";
  }

  /** Show the model: a scenario just opened, or a draft that was left. */
  async present() {
    const { base } = this.model;
    if (this.base) this.base.value = base;
    if (this.remove) this.remove.hidden = this.scenarios.find((entry) => entry.name === base)?.source !== "saved";
    this.tellUnsaved();
    this.draw();
    await this.check();
  }

  draw() {
    const { model, form } = this;
    if (!model.base || !form) return;
    const redraw = () => this.draw();
    const active = document.activeElement instanceof HTMLElement ? document.activeElement.closest("[data-path]")?.getAttribute("data-path") : null;
    this.prices = h("div", {}, pricePicture(model.value.tariff));
    form.replaceChildren(
      section("Prosumers", this.context.format.count(model.value.prosumers.length, "row"), prosumers(model, redraw)),
      h("div", { class: "two-equal" },
        section("Links", "who may exchange with whom", links(model), h("div", { dataset: { path: "links" } }, h("div", { class: "faults" }))),
        section("Events", "nobody knows them before they begin", events(model, redraw))),
      section("Tariff", "what the utility asks and pays", h("div", { class: "tariff" }, h("div", {}, tariff(model, redraw)), this.prices)),
      h("div", { class: "two-equal" },
        section("Reward weights", "what policies learn from", weights(model, "rewards", ["stability", "efficiency", "cost", "cooperation"], 2)),
        section("Stability weights", "what counts in the index", weights(model, "stability", ["voltage", "loading", "balance", "reserve"], 1))),
      section("Data, feeder, time", "", dataAndFeeder(model, this.files), h("div", { dataset: { path: "profiles" } }, h("div", { class: "faults" })), h("div", { dataset: { path: "network" } }, h("div", { class: "faults" }))),
      section("Description", "one sentence for people", bound(model, "description", { label: "Description" })),
      h("div", { dataset: { path: "scenario" } }, h("div", { class: "faults" })));
    if (active) /** @type {HTMLElement|null} */ (form.querySelector(`[data-path="${CSS.escape(active)}"] .input`))?.focus();
    if (this.checked) this.show();
  }

  edited() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.check(), PAUSE_MS);
    this.tellUnsaved();
    this.prices?.replaceChildren(pricePicture(this.model.value.tariff));
  }

  async check() {
    const turn = (this.turn += 1);
    try {
      const checked = await this.context.api.post("api/scenarios/validate", { scenario: this.model.draft });
      if (this.gone || turn !== this.turn) return; // typed on meanwhile
      this.checked = checked;
      this.show();
    } catch (error) {
      if (!this.gone) toast(/** @type {Error} */ (error).message, "error");
    }
  }

  show() {
    const { checked, form, verdict } = this;
    if (!form || !verdict) return;
    const faults = placed(checked.faults, knownPaths(form));
    showFaults(form, faults);
    const homeless = faults.get("") ?? [];
    const { sizes } = checked;
    const { format } = this.context;
    const wrong = format.count(Math.max(1, checked.faults.length), "fault");
    verdict.replaceChildren(checked.valid ? h("span", { class: "badge good" }, h("span", { class: "dot" }), "valid")
      : h("button", { type: "button", class: "badge poor", title: "Go to the first", onclick: () => goToFault(form) }, h("span", { class: "dot" }), wrong),
      ...homeless.map((message) => h("p", { class: "fault", text: message })),
      sizes && h("p", { class: "faint", text: `${format.count(sizes.num_agents, "prosumer")}, ${format.count(sizes.links, "link")}, ${format.count(sizes.buses, "bus", "buses")}; ${format.count(sizes.episode_steps, "step")} an episode; ${sizes.observation_dim} observations, ${sizes.action_dim} actions each` }) || "");
    for (const button of [this.save, this.file]) if (button) button.disabled = !checked.valid;
    if (this.toml) setText(this.toml, checked.toml ?? "Correct the faults first.");
  }

  /** @param {boolean} replace */
  async keep(replace) {
    const name = this.name?.value.trim() ?? "";
    if (this.nameFault) this.nameFault.hidden = true;
    try {
      await this.context.api.post("api/scenarios/save", { name, replace, scenario: this.model.draft });
      toast(`Saved. “${name}” can be started in the live view, compared and trained on.`);
      if (this.gone) return;
      this.begin("", {});
      await this.load();
      if (!this.gone) this.context.router.set({ base: name });
    } catch (error) {
      const { message, status } = /** @type {any} */ (error);
      const mine = this.scenarios.some((entry) => entry.name === name && entry.source === "saved");
      if (status === 409 && mine && !replace && (await confirmed(`Replace “${name}”?`, "There is a saved scenario of this name.", "Replace"))) {
        await this.keep(true);
        return;
      }
      if (this.nameFault) {
        this.nameFault.hidden = false;
        setText(this.nameFault, name ? message : "Give it a name first.");
        this.name?.focus();
      }
    }
  }

  /** What is in the fields now, not what was when it was last checked. */
  async download() {
    clearTimeout(this.timer);
    await this.check();
    if (!this.checked?.valid) return;
    saveBlob(new Blob([this.checked.toml], { type: "application/toml" }), `${this.name?.value.trim() || `${this.model.base}-edited`}.toml`);
  }

  async forget() {
    const { base } = this.model;
    if (!(await confirmed(`Delete “${base}”?`, "The scenario's file is removed from the server."))) return;
    try {
      await this.context.api.delete(`api/scenarios/${base}`);
      if (this.gone) return;
      this.begin("", {});
      this.context.router.go("editor");
      await this.load();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "error");
    }
  }
}

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  const page = new EditorPage(context);
  return { title: "Scenarios", mount: (root) => page.mount(root), unmount: () => page.unmount() };
}
