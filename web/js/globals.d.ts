/** The two libraries the page loads as scripts. */
import type * as D3 from "d3";
import type UPlot from "uplot";

declare global {
  const d3: typeof D3;
  const uPlot: typeof UPlot;
}
export {};
