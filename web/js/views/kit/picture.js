/** What is drawn, as a file: layers of canvas and SVG, one over the other, with the styles they have. */

import { saveBlob } from "../../api.js";

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity",
  "font-family", "font-size", "font-weight", "font-style", "text-anchor", "dominant-baseline", "letter-spacing", "display", "visibility",
  "color", "paint-order", "transform", "transform-origin", "mix-blend-mode",
];

/**
 * A copy that looks the same without the page's style sheets.
 * @param {SVGElement} svg
 */
function standalone(svg) {
  const copy = /** @type {SVGElement} */ (svg.cloneNode(true));
  const [from, to] = [[svg, ...svg.querySelectorAll("*")], [copy, ...copy.querySelectorAll("*")]];
  from.forEach((element, k) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) {
      const value = style.getPropertyValue(name);
      if (value && value !== "none" || name === "fill" || name === "stroke" || name === "display") /** @type {SVGElement} */ (to[k]).style.setProperty(name, value);
    }
  });
  copy.querySelectorAll("foreignObject").forEach((node) => node.remove());
  return copy;
}

/**
 * The layers inside an element as one SVG document.
 * @param {HTMLElement} root
 */
export function pictureText(root) {
  const { left, top, width, height } = root.getBoundingClientRect();
  const space = "http://www.w3.org/2000/svg";
  const outer = document.createElementNS(space, "svg");
  outer.setAttribute("xmlns", space);
  outer.setAttribute("viewBox", `0 0 ${width} ${height}`);
  outer.setAttribute("width", String(width));
  outer.setAttribute("height", String(height));
  const ground = document.createElementNS(space, "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", getComputedStyle(document.documentElement).getPropertyValue("--bg").trim()]]) ground.setAttribute(name, value);
  outer.append(ground);
  const layers = /** @type {(SVGElement|HTMLCanvasElement)[]} */ ([...root.querySelectorAll("svg, canvas")]).filter((node) => !node.parentElement?.closest("svg") && !node.closest("button"));
  for (const layer of layers) {
    const box = layer.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const place = { x: box.left - left, y: box.top - top, width: box.width, height: box.height };
    const node = layer instanceof HTMLCanvasElement ? document.createElementNS(space, "image") : standalone(layer);
    if (layer instanceof HTMLCanvasElement) node.setAttribute("href", layer.toDataURL("image/png"));
    for (const [name, value] of Object.entries(place)) node.setAttribute(name, String(value));
    outer.append(node);
  }
  return { text: new XMLSerializer().serializeToString(outer), width, height };
}

/**
 * @param {HTMLElement} root
 * @param {string} name of the file, without its ending
 */
export function saveSvg(root, name) {
  saveBlob(new Blob([pictureText(root).text], { type: "image/svg+xml" }), `${name}.svg`);
}

/**
 * At twice the size of the screen.
 * @param {HTMLElement} root
 * @param {string} name of the file, without its ending
 */
export async function savePng(root, name) {
  const { text, width, height } = pictureText(root);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * 2, height * 2];
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("The browser could not make a picture of the view.");
  saveBlob(/** @type {Blob} */ (blob), `${name}.png`);
}
