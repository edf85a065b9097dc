/** Recordings: watch any run again, step by step, jump to what happened, take it along as a file. */
import { h, setText } from "../dom.js";
import { href } from "../router.js";
import { toast } from "../toast.js";
import { asked, confirmed } from "./kit/confirm.js";
import { exportMenu } from "./kit/export.js";
import { savePng, saveSvg } from "./kit/picture.js";
import { controls, keys } from "./playback/controls.js";
import { behind, holding, neighbour, sentence, telling } from "./playback/events.js";
import { eventList } from "./playback/eventlist.js";
import { recordingList, room } from "./playback/list.js";
import { Session } from "./playback/session.js";
import { stage } from "./playback/stage.js";
import { Timeline } from "./playback/timeline.js";

/** @typedef {import("./playback/list.js").Recording} Recording */
const REFRESH_MS = 2000;

class PlaybackPage {
  /** @param {import("../types.d.ts").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {Recording[]} */
    this.recordings = [];
    /** @type {Session|null} */
    this.session = null;
    /** @type {(() => void)[]} */
    this.leave = [];
    /** @type {(() => void)|null} */
    this.clearStage = null;
    this.opening = "";
    this.gone = false;
    /** @type {Promise<void>|null} */
    this.asking = null;
    this.actions = {
      toggle: () => this.session?.player.toggle(),
      step: (/** @type {number} */ by) => void this.session?.player.step(by),
      jump: (/** @type {1|-1} */ direction) => this.jump(direction),
      end: (/** @type {"first"|"last"} */ end) => this.seek(end === "first" ? 0 : Infinity),
      speed: (/** @type {number} */ speed) => this.session && (this.session.player.speed = speed),
    };
  }

  /** @param {HTMLElement} root */
  mount(root) {
    this.list = h("div");
    this.room = h("p", { class: "faint" });
    this.events = h("div");
    this.eventCard = h("section", { class: "card", hidden: true }, h("header", {}, h("h2", { text: "Events" })), h("div", { class: "body" }, this.events));
    this.content = h("div", { class: "content playback-content" });
    root.append(h("div", { class: "page with-side" },
      h("div", { class: "side" },
        h("section", { class: "card" }, h("header", {}, h("h2", { text: "Recordings" })), h("div", { class: "body" }, this.list, this.room)), this.eventCard),
      this.content));
    const onKey = keys(this.actions);
    document.addEventListener("keydown", onKey);
    const timer = setInterval(() => this.asking ?? this.refresh(), REFRESH_MS);
    this.leave = [
      () => document.removeEventListener("keydown", onKey), () => clearInterval(timer),
      this.context.router.subscribe((route) => route.view === "playback" && this.route(route.params)),
      this.context.store.subscribe((state) => state.frame, () => this.tellBehind()),
    ];
    this.refresh();
  }

  unmount() {
    this.gone = true;
    this.leave.forEach((end) => end());
    this.close();
  }

  close() {
    this.clearStage?.();
    this.clearStage = null;
    this.timeline?.destroy();
    const { session } = this;
    this.session = null; // what it says of its end is not for the URL
    session?.close();
  }

  /** Asked for while an answer is awaited, it asks again after that: something was changed meanwhile. */
  async refresh() {
    while (this.asking) await this.asking;
    this.asking = this.ask().finally(() => { this.asking = null; });
    await this.asking;
  }

  async ask() {
    if (document.hidden || this.gone) return;
    try {
      const answer = await this.context.api.get("api/recordings?limit=200");
      if (this.gone) return;
      const before = JSON.stringify(this.recordings);
      this.recordings = answer.recordings;
      if (before !== JSON.stringify(this.recordings) || !this.listed) this.drawList(answer);
      if (!this.listed) {
        this.listed = true;
        this.route(this.context.router.route.params);
      }
      const { session } = this;
      if (session?.recording.state !== "recording" || !(await session.grow()) || this.session !== session) return;
      this.drawEvents();
      if (session.recording.state !== "recording") this.drawHead(); // it can be deleted now
    } catch (error) {
      if (!this.listed && !this.gone) toast(/** @type {Error} */ (error).message, "error");
    }
  }

  /** @param {any} answer */
  drawList(answer) {
    const focused = this.list?.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.recording : null;
    this.list?.replaceChildren(recordingList(this.recordings, this.opening, this.context.format, (recording) => this.context.router.go("playback", { recording: recording.id })));
    if (focused) /** @type {HTMLElement|null} */ (this.list?.querySelector(`[data-recording="${focused}"]`))?.focus();
    if (answer && this.room) setText(this.room, room(answer, this.context.format));
    this.total = answer ?? this.total;
  }

  /** @param {Record<string, string>} params */
  route(params) {
    if (!this.listed) return;
    const id = params.recording ?? this.recordings.find((recording) => recording.frames > 0)?.id ?? "";
    if (id !== this.opening) this.open(id, Number(params.frame ?? 0));
    else if (this.session && params.frame !== undefined && Number(params.frame) !== this.session.player.at && !this.session.player.playing) this.seek(Number(params.frame));
  }

  /**
   * @param {string} id
   * @param {number} frame
   */
  async open(id, frame) {
    this.opening = id;
    this.close();
    this.drawList(this.total);
    if (this.eventCard) this.eventCard.hidden = true;
    if (!id) {
      this.content?.replaceChildren(h("div", { class: "notice" }, h("strong", { text: "Nothing recorded yet" }),
        h("p", {}, "Every run is recorded while it runs. ", h("a", { href: href("live"), text: "Start one in the live view" }), ".")));
      return;
    }
    this.content?.replaceChildren(h("div", { class: "notice" }, h("p", { text: "Opening…" })));
    try {
      const recording = await this.context.api.get(`api/recordings/${id}`);
      if (this.gone || this.opening !== id || this.session) return;
      const on = { onFrame: (/** @type {number} */ k) => this.shown(k), onPlaying: (/** @type {boolean} */ playing) => this.played(playing), onError: (/** @type {Error} */ error) => toast(error.message, "error") };
      this.session = new Session(this.context, recording, on);
      this.build();
      this.seek(Number.isFinite(frame) ? frame : 0);
      await this.session.load();
      if (this.opening === id) this.drawEvents();
    } catch (error) {
      if (this.gone || this.opening !== id) return;
      const { status, message } = /** @type {import("../api.js").ApiError} */ (error);
      const missing = status === 404;
      this.content?.replaceChildren(h("div", { class: "notice" }, h("strong", { text: missing ? "There is no such recording" : "This recording cannot be shown" }),
        h("p", { text: missing ? "It was deleted, or made room for newer ones, or the link is of another server." : message }),
        missing && this.recordings.length ? h("p", {}, h("a", { href: href("playback"), text: "Show the newest one" })) : null));
    }
  }

  build() {
    const session = /** @type {Session} */ (this.session);
    const { recording } = session;
    this.controls = controls(this.actions, session.player.speed);
    this.timeline = new Timeline((frame) => { session.player.pause(); this.seek(frame); });
    this.now = h("p", { class: "now-events", "aria-live": "polite" });
    this.behind = h("a", { class: "badge fair behind", href: href("live"), hidden: true }, h("span", { class: "dot" }), h("span"));
    const shown = stage({ ...this.context, store: session.store }, this.now);
    this.clearStage = shown.stop;
    this.picture = shown.picture;
    this.title = h("h1", { text: recording.name });
    this.head = h("div", { class: "button-row push" });
    this.content?.replaceChildren(
      h("div", { class: "page-head" }, this.title, h("span", { class: "muted", text: `${recording.scenario}, policy ${recording.about.hello?.policy?.title ?? recording.policy}${recording.seed === null ? "" : `, seed ${recording.seed}`}` }), this.behind, this.head),
      shown.node, h("section", { class: "card player", "aria-label": "Player" }, this.timeline.element, this.controls.node), shown.below);
    this.drawHead();
    this.timeline.set(session.pages.first, session.pages.end, [], null);
  }

  drawHead() {
    const { recording } = /** @type {Session} */ (this.session);
    const { api } = this.context;
    const { id, pinned } = recording;
    const file = (/** @type {string} */ label, /** @type {string} */ query, /** @type {string} */ name) => ({ label, path: `api/recordings/${id}/export?${query}`, name });
    const tables = ["agents", "flows", "metrics"].flatMap((table) => ["csv", "parquet"].map((kind) => file(`${table}, ${kind === "csv" ? "CSV" : "Parquet"}`, `format=${kind}&table=${table}`, `${id}-${table}.${kind}`)));
    const name = () => `${id}-${this.session?.player.at ?? 0}`;
    this.head?.replaceChildren(
      exportMenu(api, [...tables, file("everything, JSON", "format=json", `${id}.json`),
        { label: "picture, SVG", make: () => saveSvg(/** @type {HTMLElement} */ (this.picture), name()) }, { label: "picture, PNG", make: () => savePng(/** @type {HTMLElement} */ (this.picture), name()) }]),
      h("button", { class: "button small", "aria-pressed": String(pinned), title: "Keep it when room is made for new ones", text: pinned ? "Pinned" : "Pin", onclick: () => this.change({ pinned: !pinned }) }),
      h("button", { class: "button small", text: "Rename", onclick: async () => {
        const text = await asked("Rename the recording", "Name", recording.name);
        if (text) await this.change({ name: text });
      } }),
      h("button", { class: "button small danger", text: "Delete", disabled: recording.state === "recording", onclick: () => this.remove() }));
  }

  /** @param {{name?: string, pinned?: boolean}} body */
  async change(body) {
    const { session } = this;
    if (!session) return; // it was left while the question stood
    try {
      const fresh = await this.context.api.patch(`api/recordings/${session.recording.id}`, body);
      session.recording = { ...session.recording, name: fresh.name, pinned: fresh.pinned };
      if (this.session !== session) return;
      if (this.title) setText(this.title, fresh.name);
      this.drawHead();
      await this.refresh();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "error");
    }
  }

  async remove() {
    const { recording } = /** @type {Session} */ (this.session);
    if (!(await confirmed(`Delete “${recording.name}”?`, `${this.context.format.count(recording.frames, "step is", "steps are")} lost. This cannot be undone.`))) return;
    try {
      await this.context.api.delete(`api/recordings/${recording.id}`);
      await this.refresh();
      if (!this.gone && this.opening === recording.id) this.context.router.go("playback");
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "error");
    }
  }

  drawEvents() {
    const { session, timeline } = this;
    if (!session || !timeline) return;
    timeline.set(session.pages.first, session.pages.end, session.events, session.overview);
    this.eventRows = eventList(session.events, this.context.format, (event) => { session.player.pause(); this.seek(event.frame); });
    this.events?.replaceChildren(this.eventRows.node);
    if (this.eventCard) this.eventCard.hidden = false;
    this.shown(session.player.at, false);
  }

  /** @param {number} frame */
  seek(frame) {
    const { session } = this;
    if (session?.pages.count) session.player.seek(session.pages.clamp(frame === Infinity ? session.pages.end - 1 : frame));
  }

  /** @param {1|-1} direction */
  jump(direction) {
    const { session } = this;
    if (!session) return;
    session.player.pause();
    const event = neighbour(session.events, session.player.at, direction);
    if (event) this.seek(event.frame);
    else toast(direction === 1 ? "No event after this step." : "No event before this step.");
  }

  /**
   * @param {number} frame
   * @param {boolean} [moved]
   */
  shown(frame, moved = true) {
    const { session, controls: bar, timeline } = this;
    const data = session?.pages.peek(frame);
    if (!session || !bar || !timeline || !data) return;
    const { format, router } = this.context;
    const [date, clock] = [format.simDate(data.sim_time), format.simClock(data.sim_time)];
    bar.say(date, clock, `step ${format.number(data.step, 0)} of ${format.number(session.pages.end, 0)}`);
    timeline.point(frame, `${date} ${clock}, step ${data.step}`);
    this.eventRows?.mark(frame);
    const now = telling(holding(session.events, frame)).map((event) => sentence(event, format));
    if (this.now) setText(this.now, now.join(" · "));
    if (moved && !session.player.playing) router.set({ recording: session.recording.id, frame: String(frame) });
    this.tellBehind();
  }

  /** @param {boolean} playing */
  played(playing) {
    this.controls?.setPlaying(playing);
    const { session } = this;
    if (!playing && session) this.context.router.set({ recording: session.recording.id, frame: String(session.player.at) });
  }

  /** How far the community has come since, where it is the one that runs. */
  tellBehind() {
    const { session, behind: badge } = this;
    if (!session || !badge) return;
    const live = this.context.store.get();
    const runs = ["running", "paused"].includes(live.status?.state ?? "");
    const same = runs && live.hello?.run !== null && live.hello?.run?.id === session.recording.about.run?.id;
    const steps = same ? behind(session.store.get().frame, live.frame) : 0;
    badge.hidden = !same;
    setText(/** @type {Node} */ (badge.lastElementChild), steps ? `${this.context.format.count(steps, "step")} behind live · go live` : "live");
  }
}

/**
 * @param {import("../types.d.ts").Context} context
 * @returns {import("../types.d.ts").View}
 */
export function create(context) {
  const page = new PlaybackPage(context);
  return { title: "Playback", mount: (root) => page.mount(root), unmount: () => page.unmount() };
}
