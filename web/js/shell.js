/** Header: brand, navigation, connection, theme, help. */
import { h, icon, s, setText } from "./dom.js";
import { href } from "./router.js";
import { pick } from "./store.js";
import { askToken } from "./token.js";

/** @typedef {import("./types.d.ts").Context} Context */
/** @typedef {import("./types.d.ts").View} View */

/** What to do when D3 or uPlot did not load. */
export function libraryNotice() {
  return h("div", { class: "notice", role: "alert" },
    h("strong", { text: "The page's libraries are not installed" }),
    h("p", {}, "D3 and uPlot come from npm and are not part of the repository. Run ", h("code", { text: "npm ci" }),
      " in the folder ", h("code", { text: "web/" }), " (or ", h("code", { text: "make serve" }), "), then reload."));
}

/**
 * @param {Context} context
 * @param {{ name: string, label: string }[]} views
 */
export function buildShell(context, views) {
  const links = views.map(({ name, label }) => h("a", { href: href(name), text: label, dataset: { view: name } }));
  const help = h("button", { class: "button quiet icon", "aria-label": "Help", "aria-expanded": "false", title: "Help (?)" }, icon("help"));
  const theme = h("button", { class: "button quiet icon" });
  const bar = /** @type {HTMLElement} */ (document.getElementById("topbar"));
  bar.append(
    h("a", { class: "brand", href: href("live"), "aria-label": "smartgrid-marl, live view" }, brand(), h("span", { text: "smartgrid" })),
    h("nav", { class: "tabs", "aria-label": "Views" }, ...links),
    h("div", { class: "end" }, connectionBadge(context), theme, help));
  context.router.subscribe((route) => {
    for (const link of links) {
      if (link.dataset.view === route.view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  });
  themeButton(context, theme);
  helpPanel(context, help);
}

function brand() {
  return s("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round", "aria-hidden": "true" },
    s("path", { d: "M12 12 5 5.5M12 12l7.5-4.5M12 12l-3 7.5M12 12l6 6" }),
    ...[[12, 12, 3.2], [4.5, 5, 1.9], [20, 7, 1.9], [8.6, 20, 1.9], [18.6, 18.6, 1.9]].map(([cx, cy, r]) =>
      s("circle", { cx, cy, r, fill: "currentColor", stroke: "none" })));
}

/** @param {Context} context */
function connectionBadge({ store, format, socket }) {
  const again = () => {
    const { state } = socket.connection;
    if (state === "unauthorized") askToken(socket); // its dialog may have been closed without one
    else if (state === "waiting" || state === "closed") socket.connect();
  };
  const label = h("span");
  const badge = h("button", { class: "badge connection", type: "button", onclick: again },
    h("span", { class: "dot" }), label);
  const show = () => {
    const { connection } = store.get();
    const wait = connection.retry_at === null ? 0 : Math.max(0, Math.ceil((connection.retry_at - Date.now()) / 1000));
    const text = {
      connecting: "Connecting…", open: connection.latency_ms === null ? "Live" : `Live · ${format.ms(connection.latency_ms)}`,
      waiting: `Offline · retry in ${wait} s`, unauthorized: "Token needed", closed: "Disconnected",
    }[connection.state];
    setText(label, text);
    badge.className = `badge connection ${{ connecting: "fair", open: "good", waiting: "poor", unauthorized: "poor", closed: "poor" }[connection.state]}`;
    badge.title = connection.state === "open" ? "Connected; round trip of a message to the server and back" : `${connection.reason ?? ""} Select to try again now.`;
  };
  store.subscribe(pick("connection"), show);
  setInterval(() => store.get().connection.state === "waiting" && !document.hidden && show(), 500);
  return badge;
}

/**
 * @param {Context} context
 * @param {HTMLButtonElement} button
 */
function themeButton({ store }, button) {
  button.addEventListener("click", () => {
    const theme = store.get().theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", theme);
    } catch { /* storage is blocked: it holds until the page is left */ }
    document.documentElement.dataset.theme = theme;
    store.set({ theme });
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", (event) => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch { /* as above */ }
    if (chosen) return;
    const theme = event.matches ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    store.set({ theme });
  });
  store.subscribe((state) => state.theme, (theme) => {
    button.replaceChildren(icon(theme === "dark" ? "sun" : "moon"));
    button.setAttribute("aria-label", theme === "dark" ? "Use the light theme" : "Use the dark theme");
    button.title = button.getAttribute("aria-label") ?? "";
  });
}

/**
 * Opens beside the view, which stays usable; `?` toggles it, Escape closes it. Whether it is open is in the URL.
 * @param {Context} context
 * @param {HTMLButtonElement} button
 */
function helpPanel(context, button) {
  /** @type {View | null} */
  let view = null;
  const panel = h("aside", { class: "help", "aria-label": "Help", tabindex: "-1", hidden: true });
  document.body.append(panel);
  const toggle = (show = panel.hidden) => context.router.set({ help: show ? "1" : null });
  const follow = async (/** @type {boolean} */ show) => {
    if (show && !view) {
      view = (await import("./views/help.js")).create(context);
      view.mount(panel);
    }
    if (show === !panel.hidden || show !== Boolean(context.router.route.params.help)) return;
    const within = panel.contains(document.activeElement);
    panel.hidden = !show;
    button.setAttribute("aria-expanded", String(show));
    if (show) panel.focus();
    else if (within) button.focus();
  };
  button.addEventListener("click", () => toggle());
  panel.addEventListener("close-help", () => toggle(false));
  addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "?" && !typing && !event.ctrlKey && !event.metaKey) toggle();
    if (event.key === "Escape" && !panel.hidden) toggle(false);
  });
  context.router.subscribe(({ params }) => void follow(Boolean(params.help)));
}
