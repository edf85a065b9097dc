/** The scenario being edited outlives the view: it is kept while the page is open, and the tab asks before it is closed. */

import { Model } from "./model.js";

/** What was typed, and the name to save it by. */
export const kept = { model: new Model(() => {}), name: "" };

/** @param {BeforeUnloadEvent} event */
const ask = (event) => event.preventDefault();

/** To be called whenever the draft may have changed: browsers keep pages that listen for closing out of their caches. */
export function guard() {
  if (kept.model.changed) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
}
