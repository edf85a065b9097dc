/** The grid view: SVG prosumers over Canvas feeder and flows; Canvas only for large communities. Zoom, pan, pick. */
import { h, icon, s } from "../dom.js";
import { pick } from "../store.js";
import { hideTip, renewTip, showTip } from "../tooltip.js";
import { drawFeeder, drawStill, Layer } from "./canvas.js";
import { drawAgents } from "./crowd.js";
import { feederTip } from "./feedertips.js";
import { Flows } from "./flows.js";
import { follow } from "./hover.js";
import { NARROW } from "./labels.js";
import { layout } from "./layout.js";
import { agentTip, buildNodes, updateNodes, utilitySize } from "./nodes.js";
import { Picker } from "./pick.js";
import { SCALES, zoomOf, zoomText } from "./zoomlink.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("./layout.js").Layout} Layout */

export const MOST_SVG = 200;
const REACH = 6; // px from a line that still mean it

/** @param {Context} context */
export function gridView(context) {
  const { store, router, format } = context;
  const still = new Layer();
  const base = new Layer();
  const moving = new Layer();
  const flows = new Flows();
  const utility = s("g", { class: "utility" });
  const agents = s("g", {});
  const zoomed = s("g", {}, utility, agents);
  const svg = s("svg", { class: "grid-svg", role: "group", "aria-label": "Prosumers on their feeder; arrow keys go from one to the next, Enter selects" }, zoomed);
  const stage = h("div", { class: "stage" }, still.node, base.node, moving.node, svg, zoomButtons());
  const node = h("div", { class: "grid" }, stage);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {Layout | null} */
  let place = null;
  let large = false;
  let dirty = true;
  let stillOf = ""; // what the still layer shows
  /** @type {import("d3").Quadtree<Layout["agents"][number]> | null} */
  let tree = null;
  /** @type {Picker | null} made when the pointer first looks for something */
  let picker = null;
  let gone = false;
  /** @type {string | undefined} */
  let zoomSaid = router.route.params.zoom; // what the URL said last
  let transform = d3.zoomIdentity;
  let layouts = 0; // made so far
  let animation = 0;
  let before = 0;

  const select = (/** @type {string | null} */ id) => router.set({ agent: id === store.get().selected ? null : id });
  const show = (/** @type {string} */ id, /** @type {{ left: number, top: number, right: number, bottom: number }} */ where) => {
    showTip(() => {
      const agent = store.get().frame?.agents[place?.indexOf.get(id) ?? -1];
      return agent ? agentTip(agent, format) : null;
    }, where);
  };

  const rebuild = () => {
    const { hello } = store.get();
    const { clientWidth: width, clientHeight: height } = stage;
    hideTip();
    place = picker = null;
    utility.replaceChildren();
    agents.replaceChildren();
    if (!hello?.feeder || width < 80 || height < 80) return;
    place = layout(hello, width, height);
    layouts += 1;
    large = place.agents.length > MOST_SVG;
    tree = d3.quadtree(place.agents, (p) => p.x, (p) => p.y);
    for (const layer of [still, base, moving]) layer.resize(width, height);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.tabIndex = large ? 0 : -1;
    drawUtility(utility, place);
    if (!large) buildNodes(agents, place, { select, show: (id, element) => show(id, element.getBoundingClientRect()), hide: hideTip });
    zoom.translateExtent([[-width * 0.3, -height * 0.3], [width * 1.3, height * 1.3]]);
    goTo(zoomSaid);
    update();
  };
  const update = () => {
    if (!place) return;
    const { frame, selected, connection } = store.get();
    utility.classList.toggle("off", Boolean(frame?.islanded));
    const label = utility.querySelector("text");
    if (label) label.textContent = frame?.islanded ? (place.width < NARROW ? "cut off" : "utility, cut off") : "utility";
    if (!large) updateNodes(agents, place, frame, selected, format);
    flows.update(place, frame);
    node.classList.toggle("stale", connection.state !== "open");
    renewTip();
    dirty = true;
    wake();
  };
  const isMoving = () => {
    const { status, connection } = store.get();
    return !calm.matches && status?.state === "running" && connection.state === "open";
  };
  /** @param {number} now */
  const paint = (now) => {
    animation = 0;
    const { hello, frame, selected, theme } = store.get();
    if (!place || !hello) return;
    const calmly = !isMoving();
    if (dirty) {
      const wanted = `${transform} ${selected} ${theme} ${layouts}`;
      if (wanted !== stillOf) drawStill(still.begin(transform), place, hello, selected);
      stillOf = wanted;
      const c = base.begin(transform);
      drawFeeder(c, place, hello, frame);
      if (large) drawAgents(c, place, frame, selected, transform);
      dirty = false;
    }
    flows.draw(moving.begin(transform), calmly ? 0 : Math.min(0.1, Math.max(0.001, (now - before) / 1000)));
    before = now;
    if (!calmly) wake();
  };
  const wake = () => {
    if (!animation && !document.hidden) animation = requestAnimationFrame(paint);
  };

  const zoom = d3.zoom().scaleExtent(SCALES)
    .filter((event) => !event.button && (event.type !== "wheel" || !event.altKey) && (!event.type.startsWith("touch") || event.touches.length > 1 || transform.k > 1.05))
    .on("zoom", (event) => {
      transform = event.transform;
      zoomed.setAttribute("transform", String(transform));
      stage.classList.toggle("zoomed", transform.k > 1.05);
      hideTip();
      dirty = true;
      wake();
    })
    .on("end", () => {
      if (!place || gone) return; // a wheel's end may come after the view's
      const text = zoomText(transform, place.width, place.height);
      zoomSaid = text ?? undefined;
      router.set({ zoom: text });
    });
  const surface = d3.select(/** @type {Element} */ (svg));
  surface.call(/** @type {any} */ (zoom)).on("dblclick.zoom", null);
  /** @param {string | undefined} text of the URL */
  const goTo = (text) => {
    if (!place || (text ?? null) === zoomText(transform, place.width, place.height)) return;
    const { x, y, k } = zoomOf(text, place.width, place.height);
    surface.call(/** @type {any} */ (zoom.transform), d3.zoomIdentity.translate(x, y).scale(k));
  };
  function zoomButtons() {
    const button = (/** @type {any} */ glyph, /** @type {string} */ label, /** @type {() => void} */ onclick) =>
      h("button", { class: "button icon", "aria-label": label, title: label, onclick }, icon(glyph));
    return h("div", { class: "zoom-buttons" },
      button("plus", "Zoom in", () => surface.call(/** @type {any} */ (zoom.scaleBy), 1.5)),
      button("minus", "Zoom out", () => surface.call(/** @type {any} */ (zoom.scaleBy), 1 / 1.5)),
      button("fit", "Show everything", () => surface.call(/** @type {any} */ (zoom.transform), d3.zoomIdentity)));
  }

  /** @param {PointerEvent | MouseEvent} event */
  const find = (event) => {
    if (!place || !tree) return undefined;
    const [x, y] = transform.invert(d3.pointer(event, svg));
    return tree.find(x, y, Math.max(place.radius * 1.4, 10 / transform.k));
  };
  /** @param {PointerEvent} event @returns {import("./pick.js").Found | null} */
  const findPart = (event) => {
    const { hello } = store.get();
    if (!place || !hello?.feeder) return null;
    if (/** @type {Element} */ (event.target).closest(".utility")) return { kind: "bus", index: hello.feeder.slack };
    picker ??= new Picker(place, hello.links);
    const [x, y] = transform.invert(d3.pointer(event, svg));
    return picker.find(x, y, REACH / transform.k);
  };
  /** @param {PointerEvent} event */
  const look = (event) => {
    if (/** @type {Element} */ (event.target).closest(".node")) return null; // says it itself
    const where = { left: event.clientX, right: event.clientX, top: event.clientY - 6, bottom: event.clientY + 6 };
    const agent = large ? find(event) : undefined;
    const part = agent ? null : findPart(event);
    const { hello } = store.get();
    if (agent) show(agent.id, where);
    else if (part && hello) showTip(() => feederTip(part, hello, store.get().frame, format), where);
    return Boolean(agent || part);
  };
  const lookAway = follow(svg, look);
  svg.addEventListener("click", (event) => {
    const found = large ? find(event) : undefined;
    const touch = /** @type {PointerEvent} */ (event);
    if (found) return select(found.id);
    if (touch.pointerType === "touch") { // no pointer hovers there: a tap asks
      const told = look(touch);
      if (told) return;
      if (told === false) hideTip();
    }
    if (event.target === svg && store.get().selected) select(null);
  });
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!large || !place || !by) return;
    event.preventDefault();
    event.stopPropagation();
    const at = place.indexOf.get(store.get().selected ?? "") ?? -by;
    router.set({ agent: place.agents[(at + by + place.agents.length) % place.agents.length].id });
  });

  const observer = new ResizeObserver(rebuild);
  observer.observe(stage);
  document.addEventListener("visibilitychange", wake);
  calm.addEventListener("change", update);
  const stops = [
    store.subscribe((state) => state.hello, rebuild),
    store.subscribe(pick("frame", "selected", "connection", "theme"), update),
    store.subscribe((state) => state.status?.state, wake),
    router.subscribe(({ params }) => {
      if (params.zoom === zoomSaid) return;
      zoomSaid = params.zoom;
      goTo(zoomSaid);
    }),
  ];
  return {
    node,
    stop() {
      gone = true;
      stops.forEach((end) => end());
      lookAway();
      observer.disconnect();
      document.removeEventListener("visibilitychange", wake);
      calm.removeEventListener("change", update);
      cancelAnimationFrame(animation);
      hideTip();
    },
  };
}

/** @param {SVGGElement} root @param {Layout} place */
function drawUtility(root, place) {
  const { x, y } = place.utility;
  const r = utilitySize(place.radius);
  root.setAttribute("transform", `translate(${x},${y})`);
  root.append(s("rect", { x: -r, y: -r, width: 2 * r, height: 2 * r, rx: 4 }),
    s("path", { d: "M0 -1L-.62 1M0 -1L.62 1M-.42 .35H.42M-.62 1L.42 .35M.62 1L-.42 .35M-.75 -.35H.75", transform: `scale(${r * 0.62})`, "vector-effect": "non-scaling-stroke" }),
    s("text", { y: r + 15, x: -r, "text-anchor": "start", text: "utility" }));
}
