/** One recording that is open: its frames, events and a store of its own, so that the live view's parts can show it. */

import { extend, extendTraces, TRACE } from "../../history.js";
import { Store } from "../../store.js";
import { FramePages } from "./pages.js";
import { extended, parseMetrics, since } from "./overview.js";
import { Player } from "./player.js";

/** @typedef {import("../../types.d.ts").Frame} Frame */
/** @typedef {import("../../types.d.ts").Sample} Sample */
/** @typedef {import("../../types.d.ts").State} State */

const AT_A_GLANCE = 40_000; // frames; the metrics of more take too long to read at once for a picture

export class Session {
  /**
   * @param {import("../../types.d.ts").Context} context
   * @param {any} recording `GET /api/recordings/ID`
   * @param {{onFrame: (frame: number) => void, onPlaying: (playing: boolean) => void, onError: (error: Error) => void}} on
   */
  constructor(context, recording, on) {
    this.context = context;
    this.recording = recording;
    /** @type {import("./events.js").RecordedEvent[]} */
    this.events = [];
    /** @type {import("./overview.js").Overview|null} */
    this.overview = null;
    this.loaded = false;
    const live = context.store.get();
    const { config, hello } = recording.about;
    const weights = config ? { rewards: config.rewards, stability: config.stability } : null;
    /** @type {import("../../types.d.ts").State} */
    const state = {
      connection: { ...live.connection, state: "open" }, hello, status: /** @type {any} */ ({ state: "paused", weights }), frame: null, history: [], traces: new Map(),
      selected: live.selected, theme: live.theme,
    };
    this.store = new Store(state);
    this.pages = new FramePages((first, limit) => context.api.get(`api/recordings/${recording.id}/frames?first=${first}&limit=${limit}`), recording.first, recording.frames);
    this.player = new Player(this.pages, (frame, data) => {
      this.show(data, frame);
      on.onFrame(frame);
    }, (playing) => {
      this.store.set((state) => ({ status: /** @type {any} */ ({ ...state.status, state: playing ? "running" : "paused" }) }));
      on.onPlaying(playing);
    }, on.onError);
    this.stop = context.store.subscribe((state) => state, (state) => {
      const { selected, theme } = this.store.get();
      if (selected !== state.selected || theme !== state.theme) this.store.set({ selected: state.selected, theme: state.theme });
    });
  }

  /**
   * Show a frame; after a jump the small charts get the steps before it again.
   * @param {Frame} frame
   * @param {number} at its number
   */
  show(frame, at) {
    const state = this.store.get();
    if (state.frame !== null && frame.step === state.frame.step + 1) {
      this.store.set({ frame, history: extend(state.history, frame), traces: extendTraces(state.traces, frame, false) });
      return;
    }
    const { pages } = this;
    const earlier = pages.before(at, TRACE - 1);
    const frames = [...earlier, frame];
    this.store.set({
      frame, history: frames.reduce(extend, /** @type {readonly Sample[]} */ ([])),
      traces: frames.reduce((traces, one) => extendTraces(traces, one, false), /** @type {State["traces"]} */ (new Map())),
    });
    const missing = at - earlier.length - 1;
    if (earlier.length === TRACE - 1 || missing < pages.first) return;
    pages.load(Math.floor(missing / pages.size)).then(() => {
      if (this.player.at === at && pages.before(at, TRACE - 1).length > earlier.length) this.show(frame, at);
    }, () => {}); // the frame itself is there
  }

  /** Events and the picture of the whole; the frames do not wait for them. */
  async load() {
    await Promise.all([this.readEvents(0), this.readOverview(this.recording)]);
    this.loaded = true;
  }

  /**
   * Events in the order of their beginning, those before a place as they are known.
   * @param {number} offset
   */
  async readEvents(offset) {
    const { events } = await this.context.api.get(`api/recordings/${this.recording.id}/events?offset=${offset}&limit=10000`);
    this.events = [...this.events.slice(0, offset), ...events];
  }

  /**
   * The metrics of the frames that are new, behind those known.
   * @param {{id: string, first: number, frames: number}} recording
   */
  async readOverview({ id, first, frames }) {
    const known = this.overview && since(this.overview, first);
    const from = known?.frame.length ? known.frame[known.frame.length - 1] + 1 : first;
    const end = first + frames;
    if (end - from > AT_A_GLANCE) this.overview = null;
    else if (end > from) {
      const added = parseMetrics(await this.context.api.text(`api/recordings/${id}/export?format=csv&table=metrics&first=${from}&end=${end}`));
      this.overview = known ? extended(known, added) : added;
    } else this.overview = known;
  }

  /** A recording that is being written grows; whether it did. */
  async grow() {
    if (!this.loaded) return false;
    const { recording: before } = this;
    const fresh = await this.context.api.get(`api/recordings/${before.id}`);
    const [ended, dropped] = [fresh.state !== before.state, fresh.first !== before.first];
    if (!ended && !dropped && fresh.frames === before.frames) return false;
    const lasting = this.events.findIndex(({ until }) => until === null);
    const offset = dropped ? 0 : lasting < 0 ? this.events.length : lasting; // none before it changes
    await Promise.all([
      ended || dropped || lasting >= 0 || fresh.events !== this.events.length ? this.readEvents(offset) : null,
      this.readOverview(fresh),
    ]);
    this.recording = { ...fresh, about: before.about, name: this.recording.name, pinned: this.recording.pinned };
    this.pages.first = fresh.first;
    this.pages.count = fresh.frames;
    return true;
  }

  close() {
    this.player.close();
    this.stop();
  }
}
