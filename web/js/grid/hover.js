/** The pointer over the picture, looked at once an animation frame at most. */
import { hideTip } from "../tooltip.js";

/**
 * @param {SVGElement} surface
 * @param {(event: PointerEvent) => boolean | null} look whether a tooltip is shown for what is there; null: by somebody else
 * @returns {() => void} to look no more
 */
export function follow(surface, look) {
  /** @type {PointerEvent | null} */
  let newest = null;
  let planned = 0;
  let shown = false;
  const leave = () => {
    cancelAnimationFrame(planned);
    planned = 0;
    if (shown) hideTip();
    shown = false;
  };
  const turn = () => {
    planned = 0;
    const found = newest && !newest.buttons ? look(newest) : false; // a pressed button moves the picture
    if (found === false && shown) hideTip();
    shown = found === true;
  };
  surface.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    newest = event;
    planned ||= requestAnimationFrame(turn);
  });
  surface.addEventListener("pointerleave", leave);
  return leave;
}
