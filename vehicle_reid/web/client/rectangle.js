// The dialog in which the user draws a rectangle around one of several vehicles.

import { svgElement } from "/page/pictures.js";

const SIDES = ["left", "top", "right", "bottom"], MIN_SIDE = 8; // as on the server
const id = name => document.getElementById(name);

// `search(upload, box)` is called with the rectangle [left, top, right, bottom], in pixels of the photo; it returns an
// error to show. Returns a function that opens the dialog with an upload and the description of its whole photo.
export function startRectangle(search) {
  const dialog = id("frame"), area = id("frame-picture");
  const inputs = SIDES.map(side => id(`frame-${side}`));
  const shade = svgElement("path", { class: "shade", "fill-rule": "evenodd" }), line = svgElement("rect", { class: "line" });
  const layer = svgElement("svg", { preserveAspectRatio: "none", "aria-hidden": "true" }, shade, line);
  let upload = null, width = 1, height = 1, start = null;
  area.append(layer);

  const box = () => inputs.map(input => input.valueAsNumber);
  const isUsable = ([left, top, right, bottom]) =>
    left >= 0 && top >= 0 && right <= width && bottom <= height && right - left >= MIN_SIDE && bottom - top >= MIN_SIDE;

  function show() {
    const [left, top, right, bottom] = box(), usable = isUsable(box());
    id("frame-search").disabled = !usable;
    layer.toggleAttribute("hidden", !(right > left && bottom > top));
    if (!(right > left && bottom > top)) return;
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) line.setAttribute(name, value);
    shade.setAttribute("d", `M0 0H${width}V${height}H0ZM${left} ${top}V${bottom}H${right}V${top}Z`);
  }
  function put(values) {
    inputs.forEach((input, index) => { input.value = values?.[index] ?? ""; });
    show();
  }
  function at(event) {
    const { left, top, width: shownWidth, height: shownHeight } = area.getBoundingClientRect();
    const inside = (value, size) => Math.round(Math.min(1, Math.max(0, value)) * size);
    return [inside((event.clientX - left) / shownWidth, width), inside((event.clientY - top) / shownHeight, height)];
  }

  area.addEventListener("pointerdown", event => {
    event.preventDefault();
    area.setPointerCapture(event.pointerId);
    start = at(event);
  });
  area.addEventListener("pointermove", event => {
    if (!start) return;
    const [[x, y], [otherX, otherY]] = [start, at(event)];
    put([Math.min(x, otherX), Math.min(y, otherY), Math.max(x, otherX), Math.max(y, otherY)]);
  });
  for (const kind of ["pointerup", "pointercancel"]) area.addEventListener(kind, () => { start = null; });
  for (const input of inputs) input.addEventListener("input", show);
  id("frame-form").addEventListener("submit", async event => {
    event.preventDefault();
    id("frame-search").disabled = true;
    const error = await search(upload, box());
    id("frame-problem").textContent = error?.message ?? "";
    id("frame-problem").hidden = !error;
    if (error) show(); else dialog.close();
  });

  return (opened, photo) => {
    upload = opened;
    [width, height] = photo.size;
    layer.setAttribute("viewBox", `0 0 ${width} ${height}`);
    area.style.setProperty("--ratio", width / height);
    id("frame-image").src = `/photos/${photo.key}/photo.jpg`;
    inputs.forEach((input, index) => { input.max = index % 2 ? height : width; });
    id("frame-problem").hidden = true;
    put(opened.box);
    dialog.showModal();
  };
}
