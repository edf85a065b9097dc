/** What a run did before the page came: its last steps from its recording, so that charts do not begin empty. */
import { before, beforeMetrics, beforeTraces, joined, samplesOf, TRACED } from "./history.js";

/** @typedef {import("./types.d.ts").Context} Context */
/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").Sample} Sample */

const MOST = 192; // two days of quarter hours
const AGENTS = 2000; // prosumers × steps: their numbers are most of what is sent
const PAGE = 96;
const NEWEST = 10; // recordings among which that of a run that is over is looked for

/**
 * Steps to ask for of a community of so many prosumers.
 * @param {number} agents
 */
export const wanted = (agents) => (agents < 1 || agents > TRACED ? 0 : Math.min(MOST, Math.floor(AGENTS / agents)));

/**
 * The recording of a run: the one that is being written or, of a run that is over, one of the newest.
 * @param {Pick<Context, "api" | "store">} context
 * @param {string} run
 */
async function recordingOf({ api, store }, run) {
  const now = await api.get("api/recording");
  /** @type {string[]} */
  const ids = now.recording ? [now.recording] : [];
  const { hello } = store.get();
  if (!ids.length && hello?.run) {
    const { scenario, seed } = hello.run;
    const { recordings } = await api.get(`api/recordings?limit=${NEWEST}`);
    ids.push(...recordings.filter((/** @type {any} */ one) => one.scenario === scenario && one.seed === seed).map((/** @type {any} */ one) => one.id));
  }
  for (const id of ids) {
    const recording = await api.get(`api/recordings/${id}`);
    if (recording.about.run?.id === run) return recording;
  }
  return null;
}

/**
 * The history up to a sample, and after it; all of it is after one that it does not have.
 * @param {readonly Sample[]} history
 * @param {Sample | undefined} known
 */
function parted(history, known) {
  const place = known ? history.indexOf(known) + 1 : 0;
  return [history.slice(0, place), history.slice(place)];
}

/**
 * The history with the gap after its older part filled, as it is where nothing fills it.
 * @param {readonly Sample[]} history
 * @param {Sample | undefined} known
 * @param {(newer: readonly Sample[]) => readonly Sample[]} fill
 */
function mended(history, known, fill) {
  const [older, newer] = parted(history, known);
  const filled = fill(newer);
  return filled.length > newer.length ? joined(older, filled) : history;
}

/**
 * Fill it, again where the server was not reached: connections that the browser kept over a loss may be dead.
 * @param {Pick<Context, "api" | "store">} context
 * @param {string} run id of the run
 * @param {Sample} [known] the newest before steps were missed
 * @param {number} tries
 * @returns {Promise<void>}
 */
export async function backfilled(context, run, known, tries = 3) {
  try {
    await backfill(context, run, known);
  } catch (error) {
    if (/** @type {any} */ (error).status === 0 && tries > 1) await backfilled(context, run, known, tries - 1);
  } // else not recorded, or not to be had: it grows by itself
}

/**
 * Fill the store's history with the steps before the first it has, or with those missed since a sample that it has.
 * Where they cannot be had, it grows by itself.
 * @param {Pick<Context, "api" | "store">} context
 * @param {string} run id of the run
 * @param {Sample} [known] the newest before steps were missed
 */
async function backfill({ api, store }, run, known) {
  const [older, newer] = parted(store.get().history, known);
  if (older.length && newer[0]?.step === older[older.length - 1].step + 1) return;
  const recording = await recordingOf({ api, store }, run);
  const { hello } = store.get();
  if (!recording || hello?.run?.id !== run) return;
  const { id } = recording;
  if (hello.num_agents > TRACED) { // their numbers are too many, the community's are not
    const first = Math.max(recording.first, recording.first + recording.frames - MOST);
    const text = await api.text(`api/recordings/${id}/export?format=csv&table=metrics&first=${first}`);
    store.set((state) => (state.hello?.run?.id === run ? { history: mended(state.history, known, (newer) => beforeMetrics(samplesOf(text), newer)) } : {}));
    return;
  }
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
    const history = mended(state.history, known, (newer) => before(frames, newer));
    if (parted(state.history, known)[0].length) return { history }; // traces have no dates: a gap is not seen
    return { history, traces: beforeTraces(frames, state.history[0], state.traces) };
  });
}
