/** What a prosumer does, as word, shape and colour. Shapes fit a box from −1 to 1 and serve SVG and Canvas alike. */

/** @typedef {import("./types.d.ts").AgentStatus} AgentStatus */

/**
 * `word`: for people. Trade with the utility is named as such, as the net power beside it counts neighbours too.
 * @type {Record<AgentStatus, { word: string, shape: string, what: string }>}
 */
export const STATUS = {
  importing: { word: "buying", shape: "M-1 -.75H1L0 1Z", what: "buys from the utility, whatever neighbours send" },
  exporting: { word: "selling", shape: "M-1 .75H1L0 -1Z", what: "sells to the utility, whatever neighbours send" },
  charging: { word: "charging", shape: "M-.33 -1H.33V-.33H1V.33H.33V1H-.33V.33H-1V-.33H-.33Z", what: "charges its battery, no trade" },
  discharging: { word: "discharging", shape: "M-1 -.36H1V.36H-1Z", what: "lives off its battery, no trade" },
  balanced: { word: "balanced", shape: "M0 -.8A.8 .8 0 1 1 0 .8A.8 .8 0 1 1 0 -.8Z", what: "neither trades nor uses its battery" },
  islanded: { word: "islanded", shape: "M-.5 -.87H.5L1 0L.5 .87H-.5L-1 0Z", what: "cut off from the utility, demand met" },
  unserved: { word: "unserved", shape: "M-.62 -1L0 -.38L.62 -1L1 -.62L.38 0L1 .62L.62 1L0 .38L-.62 1L-1 .62L-.38 0L-1 -.62Z", what: "demand is not met" },
};

/**
 * The colour of a status as a CSS value.
 * @param {AgentStatus} status
 */
export const statusColor = (status) => `var(--s-${status})`;

/** @type {Record<string, string>} */
let colors = {};
let colorsOf = "";

/**
 * Colours for Canvas, which knows no CSS variables; read once a theme.
 * @returns {Record<string, string>} by the name of the variable without its dashes
 */
export function palette() {
  const theme = document.documentElement.dataset.theme ?? "dark";
  if (theme !== colorsOf) {
    const style = getComputedStyle(document.documentElement);
    const names = ["bg", "surface", "surface-2", "surface-3", "line", "line-strong", "text", "text-2", "text-3", "accent", "good", "fair", "poor",
      ...Object.keys(STATUS).map((name) => `s-${name}`),
      ...["generation", "demand", "import", "export", "transfer", "battery", "cost", "voltage", "loading", "balance", "reserve"].map((name) => `c-${name}`)];
    colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    colorsOf = theme;
  }
  return colors;
}
