/** What a run did before the page came: its last steps from its recording, so that charts do not begin empty. */
import { before, beforeTraces, TRACED } from "./history.js";

/** @typedef {import("./types.d.ts").Context} Context */
/** @typedef {import("./types.d.ts").Frame} Frame */

const MOST = 192; // two days of quarter hours
const AGENTS = 2000; // prosumers × steps: their numbers are most of what is sent
const PAGE = 96;

/**
 * Steps to ask for of a community of so many prosumers.
 * @param {number} agents
 */
export const wanted = (agents) => (agents < 1 || agents > TRACED ? 0 : Math.min(MOST, Math.floor(AGENTS / agents)));

/**
 * Fill the store's history with the steps before the first it has. Where they cannot be had, it grows by itself.
 * @param {Pick<Context, "api" | "store">} context
 * @param {string} run id of the run
 */
export async function backfill({ api, store }, run) {
  const { recording: id } = await api.get("api/recording");
  if (!id) return;
  const recording = await api.get(`api/recordings/${id}`);
  const { hello } = store.get();
  if (recording.about.run?.id !== run || hello?.run?.id !== run) return;
  const end = recording.first + recording.frames;
  /** @type {Frame[]} */
  const frames = [];
  let next = /** @type {number | null} */ (Math.max(recording.first, end - wanted(hello.num_agents)));
  while (next !== null && next < end) {
    /** @type {{ frames: Frame[], next: number | null }} */
    const page = await api.get(`api/recordings/${id}/frames?first=${next}&limit=${Math.min(PAGE, end - next)}`);
    if (!page.frames.length) break;
    frames.push(...page.frames);
    next = page.next;
  }
  store.set((state) => {
    if (state.hello?.run?.id !== run || !state.frame) return {};
    return { history: before(frames, state.history), traces: beforeTraces(frames, state.history[0], state.traces) };
  });
}
