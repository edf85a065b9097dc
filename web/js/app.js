/** Puts the page together: store, connection, router, header, and the view the URL names. */
import { Api, takeToken, token } from "./api.js";
import { backfilled } from "./backfill.js";
import * as format from "./format.js";
import { extend, extendTraces } from "./history.js";
import { socketUrl } from "./reconnecting.js";
import { href, Router } from "./router.js";
import { buildShell, libraryNotice } from "./shell.js";
import { GridWebSocket } from "./socket.js";
import { Store } from "./store.js";
import { announce, toast } from "./toast.js";
import { askToken } from "./token.js";
import { h } from "./dom.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Context} Context */
/** @typedef {import("./types.d.ts").View} View */
/** @typedef {import("./types.d.ts").ServerMessage} ServerMessage */

/** @type {{ name: string, label: string, load: () => Promise<{ create: (context: Context) => View }> }[]} */
export const VIEWS = [
  { name: "live", label: "Live", load: () => import("./views/live.js") },
  { name: "playback", label: "Playback", load: () => import("./views/playback.js") },
  { name: "comparison", label: "Compare", load: () => import("./views/comparison.js") },
  { name: "training", label: "Training", load: () => import("./views/training.js") },
  { name: "editor", label: "Scenarios", load: () => import("./views/editor.js") },
  { name: "scene3d", label: "3D", load: () => import("./views/scene3d.js") },
];

/** @returns {State} */
function firstState() {
  return {
    connection: { state: "connecting", latency_ms: null, attempt: 0, retry_at: null, reason: null },
    hello: null, status: null, frame: null, history: [], traces: new Map(), selected: null,
    theme: document.documentElement.dataset.theme === "light" ? "light" : "dark",
  };
}

/**
 * What a message changes.
 * @param {Store<State>} store
 * @param {ServerMessage} message
 */
function take(store, message) {
  if (message.type === "hello") {
    store.set((state) => {
      const same = state.hello?.run?.id === message.run?.id;
      return same ? { hello: message } : { hello: message, frame: null, history: [], traces: new Map() };
    });
  } else if (message.type === "frame") {
    store.set((state) => {
      const history = extend(state.history, message);
      const ago = message.step - (state.frame?.step ?? Infinity);
      if (ago === 0) return { frame: message, history }; // a new connection begins with the newest there is
      return { frame: message, history, traces: extendTraces(state.traces, message, ago < 0) };
    });
  } else if (message.type === "status") {
    store.set({ status: message });
  } else if (message.type === "ack") {
    store.set({ status: message.status });
  }
}

function start() {
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  if (typeof d3 === "undefined" || typeof uPlot === "undefined") {
    main.replaceChildren(libraryNotice());
    return;
  }
  takeToken();
  /** @type {Store<State>} */
  const store = new Store(firstState());
  const api = new Api({ onUnauthorized: () => askToken(socket) });
  const socket = new GridWebSocket(socketUrl(api, "ws/grid"), { token });
  const router = new Router("live");
  /** @type {Context} */
  const context = { store, api, socket, router, format };

  socket.onMessage = (message) => take(store, message);
  socket.onError = (error) => toast(error.message, "error");
  socket.onLost = () => api.giveUp();
  socket.onState = (connection) => {
    store.set({ connection });
    if (connection.state === "unauthorized") askToken(socket);
    if (connection.state !== "open" && filled) [filled, known] = ["", store.get().history.at(-1)];
  };
  let filled = "";
  /** @type {import("./types.d.ts").Sample | undefined} the newest when the connection was lost */
  let known;
  store.subscribe((state) => state.frame, (frame, { hello, connection }) => {
    const run = hello?.run?.id;
    if (!frame || !run || run === filled || connection.state !== "open") return;
    filled = run;
    if (frame.step > 1) backfilled(context, run, known);
  });
  document.addEventListener("visibilitychange", () => store.plan());
  store.subscribe((state) => state.connection.state, (state) => {
    if (state === "waiting") announce("Connection lost. The last values stay, greyed.");
    if (state === "open") announce("Connected.");
    document.documentElement.classList.toggle("stale", state !== "open");
  });
  store.subscribe((state) => state.status?.state, (state) => state && announce(`Simulation ${state}.`));

  document.querySelector(".skip-link")?.addEventListener("click", (event) => {
    event.preventDefault(); // the fragment is the route
    main.focus();
  });
  buildShell(context, VIEWS);
  showViews(context, main);
  socket.connect();
}

/**
 * Mount the view of the URL, unmount the one before.
 * @param {Context} context
 * @param {HTMLElement} main
 */
function showViews(context, main) {
  /** @type {View | null} */
  let view = null;
  let shown = "";
  context.router.subscribe(async (route) => {
    context.store.set({ selected: route.params.agent ?? null });
    if (route.view === shown) return;
    const entry = VIEWS.find(({ name }) => name === route.view);
    if (route.view === "help") { // it opens beside a view
      history.replaceState(null, "", href(shown || "live", { ...route.params, help: "1" }));
      context.router.changed();
      return;
    }
    if (!entry) {
      shown = route.view;
      view?.unmount();
      view = null;
      document.title = "Not found · smartgrid-marl";
      main.replaceChildren(h("div", { class: "notice" }, h("strong", { text: "There is nothing at this address" }),
        h("p", {}, "The link may be cut or misspelt. Choose a view above, or go to the ", h("a", { href: href("live"), text: "live view" }), ".")));
      return;
    }
    shown = route.view;
    const root = h("div", { class: `view view-${entry.name}` });
    try {
      const next = (await entry.load()).create(context);
      if (shown !== entry.name) return; // another was chosen meanwhile
      view?.unmount();
      view = next;
      main.replaceChildren(root);
      main.scrollTop = 0;
      document.title = `${next.title} · smartgrid-marl`;
      next.mount(root);
    } catch (error) {
      console.error(error);
      main.replaceChildren(h("div", { class: "notice" }, h("strong", { text: `${entry.label} could not be shown` }),
        h("p", { text: "Reload the page; if that does not help, the browser's console says more." })));
    }
  });
}

start();
