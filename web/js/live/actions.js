/** Commands as a person gives them: errors become toasts in words, replacing a run is asked first. */
import { toast } from "../toast.js";
import { confirmed } from "../views/kit/confirm.js";

/** @typedef {import("../types.d.ts").Context} Context */
/** @typedef {import("../types.d.ts").StatusBody} StatusBody */

/**
 * @param {Context} context
 * @param {string} command
 * @param {Record<string, unknown>} [args]
 * @param {(message: string) => void} [say] why it was not done
 * @returns {Promise<StatusBody | null>} null when it was not done; why was said
 */
export async function act({ socket }, command, args = {}, say) {
  try {
    return await socket.command(command, args);
  } catch (error) {
    tell(error, say);
    return null;
  }
}

/**
 * @param {unknown} error
 * @param {(message: string) => void} [say]
 */
const tell = (error, say = (text) => toast(text, "error")) => say(error instanceof Error ? error.message : String(error));

/**
 * Begin a community; where another runs that somebody started, ask first.
 * @param {Context} context
 * @param {Record<string, unknown>} args
 * @param {(message: string) => void} [say] why it was not done
 * @returns {Promise<StatusBody | null>}
 */
export async function startRun(context, args, say) {
  try {
    return await context.socket.command("start", args);
  } catch (error) {
    const running = /** @type {any} */ (error).details?.run;
    if (/** @type {any} */ (error).code !== "conflict" || !running) {
      tell(error, say);
      return null;
    }
    const text = `${running.scenario} with ${running.policy} (seed ${running.seed}) is running, for everybody who watches. Start yours instead?`;
    return (await confirmed("Another community is running", text, "Replace it")) ? act(context, "start", { ...args, replace: true }, say) : null;
  }
}
