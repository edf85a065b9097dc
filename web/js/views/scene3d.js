/** The community as a town in three dimensions. three.js is loaded when the view opens; without WebGL it says so. */
import { h, icon, setText } from "../dom.js";
import { agentTip } from "../grid/nodes.js";
import { href } from "../router.js";
import { EXPLAIN } from "../explain.js";
import { pick } from "../store.js";
import { STATUS } from "../status.js";
import { explain, hideTip, renewTip, showTip } from "../tooltip.js";
import { framed, Orbit } from "./scene3d/orbit.js";
import { Scene } from "./scene3d/scene.js";

/** @typedef {import("../types.d.ts").State} State */
const NARROW = { azimuth: 1.5, height: 0.95, distance: 64 }; // along the feeder, as the picture is taller than wide
const MOST_NAMES = 40;
const FIRST = { azimuth: 0.35, height: 0.62, distance: 56 };
const NAME = { side: 40, above: 30 }; // px that a name takes beside and above its house
const INFO = { width: 226, height: 192 }; // px of the numbers in the corner

class TownPage {
  /** @param {import("../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {(() => void)[]} */
    this.leave = [];
    this.handle = 0;
    this.gone = false;
    /** @type {any} */
    this.renderer = null;
    /** @type {Scene|null} */
    this.town = null;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {string | undefined} */
    this.camera = context.router.route.params.camera; // what the URL said last
  }

  /** @param {HTMLElement} root */
  async mount(root) {
    this.canvas = h("canvas", { class: "town-canvas", tabindex: "0", role: "img", "aria-label": "The community in three dimensions. Arrow keys turn the camera, plus and minus come nearer and go away; the next stop of Tab are the prosumers." });
    this.labels = h("div", { class: "town-labels", role: "group", "aria-label": "Prosumers; arrow keys go from one to the next, Enter selects", onkeydown: (/** @type {KeyboardEvent} */ event) => this.walk(event) });
    this.info = h("div", { class: "town-info card" });
    this.legend = legend();
    this.box = h("div", { class: "town" }, this.canvas, this.labels, this.info, this.legend,
      h("div", { class: "town-buttons" }, h("button", { class: "button icon", "aria-label": "Show everything", title: "Show everything", onclick: () => this.orbit?.reset() }, icon("fit"))));
    root.append(h("h1", { class: "sr-only", text: "The community in three dimensions" }), this.box);
    try {
      const address = this.context.api.url("vendor/three.module.min.js").href;
      this.THREE = await import(address);
      if (this.gone) return;
      this.renderer = new this.THREE.WebGLRenderer({ canvas: this.canvas, antialias: true });
    } catch (error) {
      if (!this.gone) this.fallBack(root, this.THREE ? "This browser offers no WebGL, or it is turned off." : "three.js is not installed: run npm ci in the folder web/.");
      return;
    }
    const narrow = this.box.clientWidth < this.box.clientHeight;
    this.orbit = new Orbit(this.canvas, narrow ? NARROW : FIRST, () => this.draw(), (text) => {
      this.camera = text ?? undefined;
      this.context.router.set({ camera: text });
    });
    this.orbit.goTo(this.camera);
    this.observe();
  }

  observe() {
    const { store } = this.context;
    const box = /** @type {HTMLElement} */ (this.box);
    const resize = new ResizeObserver(() => this.fit());
    resize.observe(box);
    this.canvas?.addEventListener("click", (event) => {
      if ((this.orbit?.travelled ?? 0) > 4) return; // the camera was turned
      const { left, top, width, height } = box.getBoundingClientRect();
      const id = this.town?.pick(((event.clientX - left) / width) * 2 - 1, 1 - ((event.clientY - top) / height) * 2) ?? null;
      this.context.router.set({ agent: id === store.get().selected ? null : id });
    });
    this.leave = [
      () => resize.disconnect(),
      store.subscribe((state) => state.hello, () => this.rebuild()),
      store.subscribe((state) => state.theme, () => this.rebuild()),
      store.subscribe(pick("frame", "selected"), () => this.update()),
      this.context.router.subscribe(({ params }) => {
        if (params.camera === this.camera) return;
        this.camera = params.camera;
        this.orbit?.goTo(this.camera);
      }),
    ];
    const loop = (/** @type {number} */ now) => {
      this.handle = requestAnimationFrame(loop);
      if (!this.calm.matches && this.context.store.get().status?.state === "running" && !document.hidden) this.draw(now / 1000);
    };
    this.handle = requestAnimationFrame(loop);
  }

  rebuild() {
    const { hello } = this.context.store.get();
    this.town?.dispose();
    this.box?.classList.toggle("bare", !hello?.feeder);
    this.town = hello?.feeder ? new Scene(this.THREE, hello) : null;
    const few = (hello?.agents.length ?? 0) <= MOST_NAMES;
    /** @type {Map<string, HTMLElement>} */
    this.names = new Map(few ? (hello?.agents ?? []).map((agent, k) => [agent.id, this.name(agent, k === 0)]) : []);
    if (hello?.feeder) this.names.set("grid", h("span", { class: "faint", "aria-hidden": "true", text: "utility" }));
    this.labels?.replaceChildren(...this.names.values());
    if (few) this.labels?.removeAttribute("tabindex");
    else this.labels?.setAttribute("tabindex", "0");
    this.fit();
    this.update();
  }

  /**
   * A prosumer's name above its house: the way to it for who has no pointer. A pointer meets the house behind it.
   * @param {import("../types.d.ts").HelloAgent} agent
   * @param {boolean} first whether Tab leads to it
   */
  name({ id, name }, first) {
    const { router, store, format } = this.context;
    const node = h("span", {
      role: "button", tabindex: first ? "0" : "-1", dataset: { agent: id }, text: name,
      onclick: () => router.set({ agent: store.get().selected === id ? null : id }), onblur: hideTip,
      onfocus: () => {
        if (!node.matches(":focus-visible")) return;
        showTip(() => {
          const agent = store.get().frame?.agents.find((one) => one.id === id);
          const tip = agent && agentTip(agent, format);
          return tip ? { ...tip, rows: tip.rows?.map(([label, value]) => [label.replace(/ \(.*\)/, ""), value]) } : null; // rings and tints are of the grid
        }, node.getBoundingClientRect());
      },
    });
    return node;
  }

  /**
   * By arrow keys from one prosumer to the next; where they are too many to have names, they are selected at once.
   * @param {KeyboardEvent} event
   */
  walk(event) {
    const { router, store } = this.context;
    const from = /** @type {HTMLElement} */ (event.target);
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (from.dataset.agent && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      from.click();
    }
    const agents = store.get().hello?.agents ?? [];
    if (!by || !agents.length) return;
    event.preventDefault();
    const here = from.dataset.agent ?? store.get().selected;
    const at = agents.findIndex(({ id }) => id === here);
    const { id } = agents[at < 0 ? (by > 0 ? 0 : agents.length - 1) : (at + by + agents.length) % agents.length];
    const next = this.names?.get(id);
    if (!next) router.set({ agent: id });
    for (const name of next ? this.names?.values() ?? [] : []) if (name.dataset.agent) name.tabIndex = name === next ? 0 : -1;
    next?.focus({ preventScroll: true });
  }

  update() {
    const { frame, selected } = this.context.store.get();
    if (frame && this.town) this.town.update(frame, selected);
    for (const [id, name] of this.names ?? []) if (name.dataset.agent) name.setAttribute("aria-pressed", String(id === selected));
    renewTip();
    this.tell();
    this.draw();
  }

  tell() {
    const { format, store } = this.context;
    const { frame, selected, hello } = store.get();
    const box = /** @type {HTMLElement} */ (this.info);
    if (!frame) {
      box.replaceChildren(h("p", { class: "muted" }, ...(hello?.run ? ["Waiting for the next step…"] : ["Nothing runs. ", h("a", { href: href("live"), text: "Start a community in the live view" }), "."])));
      delete box.dataset.title;
      return;
    }
    const agent = frame.agents.find((item) => item.id === selected);
    const facts = agent
      ? [["Status", STATUS[agent.status].word], ["Demand", format.kw(agent.demand_kw)], ["Solar", format.kw(agent.generation_kw)], ["Battery", agent.capacity_kwh ? format.percent(agent.energy_level) : "none"], ["Utility", format.signedKw(agent.trade_kw)], ["Neighbours", format.signedKw(agent.received_kw - agent.sent_kw)]]
      : [["Stability", format.index(frame.stability)], ["Generation", format.kw(frame.metrics.total_generation_kw)], ["Demand", format.kw(frame.metrics.total_demand_kw)], ["Batteries", format.percent(frame.metrics.mean_energy)], ["Neighbours", format.kw(frame.metrics.transfers_kw)]];
    const title = agent?.name ?? hello?.scenario?.name ?? "";
    if (box.dataset.title !== title || box.querySelectorAll("dd").length !== facts.length) {
      box.dataset.title = title;
      box.replaceChildren(h("strong", { text: title }), h("span", { class: "faint num clock" }), h("dl", {}, facts.map(([name]) => explained(name, agent !== undefined))));
    }
    setText(/** @type {Node} */ (box.querySelector(".clock")), `${format.simDate(frame.sim_time)} ${format.simClock(frame.sim_time)}`);
    [...box.querySelectorAll("dd")].forEach((cell, k) => setText(cell, facts[k][1]));
    this.canvas?.setAttribute("aria-label", `The community in three dimensions. ${title}: ${facts.map((fact) => fact.join(" ")).join(", ")}. Arrow keys turn the camera.`);
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = /** @type {HTMLElement} */ (this.box);
    if (!width || !height || !this.renderer) return;
    this.renderer.setPixelRatio(Math.min(2, devicePixelRatio));
    this.renderer.setSize(width, height, false);
    if (this.town) {
      this.town.camera.aspect = width / height;
      this.town.camera.fov = width < height ? 52 : 42;
      this.town.camera.updateProjectionMatrix();
      this.frame(this.town, width, height);
    }
    this.draw();
  }

  /**
   * The camera's first place: the whole town is in the picture, free of what is written over it.
   * @param {Scene} town
   * @param {number} width
   * @param {number} height
   */
  frame({ outline, camera }, width, height) {
    if (!this.orbit) return;
    const { first } = this.orbit;
    const narrow = width < height; // then the numbers are above the town, else beside it
    const top = NAME.above + (narrow ? INFO.height : 8);
    const left = NAME.side + (narrow ? 0 : INFO.width);
    const bottom = 28 + (this.legend?.offsetHeight ?? 0);
    const part = { left: -1 + (2 * left) / width, right: 1 - (2 * NAME.side) / width, top: 1 - (2 * top) / height, bottom: -1 + (2 * bottom) / height };
    const { target, distance } = framed(outline, first, { fov: camera.fov, aspect: width / height }, part);
    this.orbit.target = target;
    this.orbit.stretch = distance / first.distance;
  }

  /** @param {number} [seconds] */
  draw(seconds) {
    if (!this.town || !this.orbit || this.gone) return;
    this.seconds = seconds ?? this.seconds ?? 0;
    this.town.camera.position.set(...this.orbit.place);
    this.town.seenFrom(this.orbit.view.distance * this.orbit.stretch);
    this.town.camera.lookAt(...this.orbit.target);
    this.town.animate(this.seconds);
    this.renderer.render(this.town.scene, this.town.camera);
    this.place();
  }

  /** Names above the houses. */
  place() {
    const { clientWidth: width, clientHeight: height } = /** @type {HTMLElement} */ (this.box);
    for (const [id, label] of this.names ?? []) {
      const at = this.town?.places.get(id);
      if (!at) continue;
      const point = new this.THREE.Vector3(at[0], at[1] + 1, at[2]).project(this.town?.camera);
      label.style.transform = `translate(-50%, -100%) translate(${(((point.x + 1) * width) / 2).toFixed(1)}px, ${(((1 - point.y) * height) / 2).toFixed(1)}px)`;
      label.hidden = point.z > 1;
    }
  }

  /**
   * @param {HTMLElement} root
   * @param {string} why
   */
  fallBack(root, why) {
    root.replaceChildren(h("div", { class: "notice" }, h("strong", { text: "No 3D here" }), h("p", { text: why }),
      h("p", {}, "The ", h("a", { href: href("live"), text: "live view" }), " shows the same community on its feeder, with every number.")));
  }

  unmount() {
    this.gone = true;
    this.orbit?.stop();
    hideTip();
    cancelAnimationFrame(this.handle);
    this.leave.forEach((end) => end());
    this.town?.dispose();
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
  }
}

/** @type {Record<string, [community: string, prosumer: string]>} keys of `EXPLAIN` */
const FACTS = {
  Status: ["status", "status"], Demand: ["demand", "agent_demand"], Solar: ["generation", "agent_generation"], Battery: ["battery", "soc"], Utility: ["trade", "trade"],
  Neighbours: ["transfers", "neighbours"], Stability: ["stability", "stability"], Generation: ["generation", "agent_generation"], Batteries: ["battery", "soc"],
};

/**
 * @param {string} name of a fact
 * @param {boolean} ofAgent
 */
function explained(name, ofAgent) {
  const node = h("div", {}, h("dt", { text: name }), h("dd", { class: "num" }));
  explain(node, EXPLAIN[FACTS[name][ofAgent ? 1 : 0]]);
  return node;
}

function legend() {
  const item = (/** @type {string} */ token, /** @type {string} */ text) => h("li", {}, h("i", { class: "swatch dot", vars: { "--c": `var(${token})` } }), text);
  return h("ul", { class: "town-legend", "aria-label": "Legend" }, item("--c-transfer", "to a neighbour"), item("--c-import", "from the utility"), item("--c-export", "to the utility"),
    item("--c-battery", "battery's level"), item("--c-generation", "roof glows with the sun"),
    h("li", { class: "faint", text: "ring:" }), Object.entries(STATUS).map(([name, { word }]) => item(`--s-${name}`, word)));
}

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  const page = new TownPage(context);
  return { title: "3D", mount: (root) => void page.mount(root), unmount: () => page.unmount() };
}
