// DOM elements for photos: pictures with part boxes, tables of parts, and tiles.

import { sentAgain } from "/page/server.js";

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svgElement(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, typeof value === "string" ? visible(value) : value);
  node.append(...children.map(child => typeof child === "string" ? visible(child) : child));
  return node;
}

// Text with invisible characters, and those that reverse its direction, as their escapes, as the server writes them.
export function visible(text) {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, one => {
    const code = one.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

const largestWeight = photo => Math.max(1e-9, ...photo.parts.map(part => part.weight));

// The boxes of a photo, the strongest on top; `numbered` adds the numbers of the table of parts.
function boxes(photo, numbered) {
  const [width, height] = photo.size, largest = largestWeight(photo), thickness = numbered ? 1 : 0.6;
  const layer = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  photo.parts.forEach((part, index) => {
    const [left, top, right, bottom] = part.box, share = part.weight / largest, line = thickness * (1 + 1.5 * share);
    const corners = { x: left, y: top, width: right - left, height: bottom - top };
    const group = svgElement("g", { "data-part": index },
      svgElement("rect", { ...corners, class: "under", "stroke-width": line + 2 * thickness }),
      svgElement("rect", { ...corners, class: "over", "stroke-width": line, "stroke-opacity": 0.35 + 0.65 * share }));
    if (numbered) {
      const size = Math.min(width, height) / 17;
      const y = top > size ? top - size / 5 : top + size; // above the box if there is room
      group.append(svgElement("text", { x: Math.max(0, Math.min(left, width - size)), y, "font-size": size }, String(index + 1)));
    }
    layer.prepend(group);
  });
  return layer;
}

// A picture of a photo, or the reason why it cannot be shown; `file` is its name on the server. `alt` is empty beside a text that
// says the same.
export function picture(photo, { file = "photo.jpg", boxed = true, numbered = false, alt = "" } = {}) {
  const missing = reason => element("span", { class: "missing" }, reason);
  if (photo.problem) return missing(photo.problem);
  const image = element("img", { src: `/photos/${photo.key}/${file}`, alt, width: photo.size[0], height: photo.size[1] });
  const whole = element("span", { class: "loading" }, image);
  whole.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  if (boxed && photo.parts.length) whole.append(boxes(photo, numbered));
  image.addEventListener("load", () => whole.classList.remove("loading"));
  let tried = false;
  image.addEventListener("error", async () => {
    let reason = "This picture cannot be shown.";
    try {
      const other = new URL(image.src).searchParams.get("with"); // is needed for the picture too
      if (!tried && (tried = await sentAgain(photo.key, other))) return image.setAttribute("src", image.src);
    } catch (error) { reason = error.message; }
    try { reason = (await (await fetch(image.src)).json()).error || reason; } catch { /* the response has no reason */ }
    whole.replaceWith(missing(reason));
  });
  return whole;
}

// The parts of a photo with bars of their attention; hovering over a row or its box highlights both.
function partsTable(photo, container) {
  const rows = element("tbody"), largest = largestWeight(photo);
  photo.parts.forEach((part, index) => {
    const bar = element("span"), number = element("span", { class: "rank" }, String(index + 1));
    bar.style.width = `${100 * part.weight / largest}%`;
    const row = element("tr", {},
      element("th", { scope: "row" }, number, part.name),
      element("td", { class: "bar" }, element("div", { "aria-hidden": "true" }, bar)),
      element("td", { class: "number" }, `${(100 * part.weight).toFixed(1)} %`));
    const box = container.querySelector(`[data-part="${index}"]`);
    for (const hovered of box ? [row, box] : [])
      for (const [event, on] of [["pointerenter", true], ["pointerleave", false]])
        hovered.addEventListener(event, () => [row, box].forEach(one => one.classList.toggle("on", on)));
    rows.append(row);
  });
  const head = element("tr", {},
    element("th", { scope: "col" }, "part"), element("td"), element("th", { scope: "col", class: "number" }, "attention"));
  return element("table", { class: "parts" }, element("thead", {}, head), rows);
}

// A large picture of a photo, and the table of its parts.
export function photoView(photo, { file, viewName, boxed, usesParts }) {
  const alt = `${viewName} of ${photo.name}`;
  const container = element("div", { class: "picture large" }, picture(photo, { file, boxed, numbered: true, alt }));
  if (photo.size) container.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  const parts = photo.parts.length ? partsTable(photo, container)
    : element("p", { class: "quiet" }, usesParts ? "No parts were found in this photo." : "This network uses no parts.");
  return [container, element("div", {}, parts)];
}

// A small picture that links to an address, with a caption.
export function tile(photo, address, label, boxed, ...caption) {
  const link = element("a", { class: "picture", href: address, "aria-label": label, title: photo.name }, picture(photo, { boxed }));
  const texts = caption.filter(Boolean).map(one => typeof one === "string" ? element("span", {}, one) : one);
  return element("li", {}, element("figure", {}, link, element("figcaption", {}, ...texts)));
}

// A name that breaks after slashes before it breaks elsewhere.
export const nameText = name => element("span", { class: "name" }, ...name.split(/(?<=[/])/).flatMap(part => [part, element("wbr")]));

export const cameraText = photo => photo.camera === null ? "" : `camera ${photo.camera}`;

// What else is known of an image of the gallery: its vehicle, time and other details.
export const detailTexts = ({ vehicle, time, details }) => Object.entries({ vehicle, time, ...details })
  .filter(([, value]) => value)
  .map(([name, value]) => element("span", { class: "detail" }, element("span", { class: "quiet" }, name), " ",
    ...name === "time" ? value.split(/(?<=T)/).map(half => element("span", { class: "half" }, half)) : [value]));

// The name of a photo in exports; a rectangle of it is named as in the W3C's media fragments.
export function exportName({ name, box }) {
  if (!box) return name;
  const [left, top, right, bottom] = box;
  return `${name}#xywh=${left},${top},${right - left},${bottom - top}`;
}
