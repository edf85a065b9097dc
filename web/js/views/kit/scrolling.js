/** A table wider than its place: it scrolls sideways, and the side that goes on fades out. */

import { h } from "../../dom.js";

const FIT = 1; // px by which widths may differ through rounding

/**
 * A box that scrolls, with what there is to scroll to shown at its edges.
 * @param {...(Node|null)} children
 */
export function scrolling(...children) {
  const box = h("div", { class: "table-wrap fading" }, ...children);
  const look = () => {
    box.classList.toggle("more-left", box.scrollLeft > FIT);
    box.classList.toggle("more-right", box.scrollLeft + box.clientWidth < box.scrollWidth - FIT);
  };
  box.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(box); // ends with the box
  return box;
}
