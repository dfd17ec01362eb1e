// Pictures of photos: a photograph or a heatmap with its part boxes over it, the table of its parts, and tiles.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// The boxes of a photo, the strongest on top; with numbers, which are those of the table of its parts.
function boxes(photo, numbered) {
  const [width, height] = photo.size;
  const layer = drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const most = Math.max(1e-9, ...photo.parts.map(part => part.weight));
  photo.parts.forEach((part, place) => {
    const [left, top, right, bottom] = part.box, share = part.weight / most, thin = numbered ? 1 : 0.6;
    const group = drawn("g", { "data-part": place }), line = thin * (1 + 1.5 * share);
    const place_of = { x: left, y: top, width: right - left, height: bottom - top };
    group.append(
      drawn("rect", { ...place_of, class: "under", "stroke-width": line + 2 * thin }),
      drawn("rect", { ...place_of, class: "over", "stroke-width": line, "stroke-opacity": 0.35 + 0.65 * share }));
    if (numbered) {
      const size = Math.min(width, height) / 17;
      const y = top > size ? top - size / 5 : top + size; // above its box where there is room
      const text = drawn("text", { x: Math.max(0, Math.min(left, width - size)), y, "font-size": size });
      text.textContent = place + 1;
      group.append(text);
    }
    layer.prepend(group);
  });
  return layer;
}

// A picture of a photo; where there is none, the words that tell why.
export function picture(photo, { kind = "photo", boxed = true, numbered = false } = {}) {
  const missing = words => element("span", { class: "missing" }, words);
  if (photo.problem) return missing(photo.problem);
  const image = element("img", { src: `/photos/${photo.key}/${kind}.jpg`, alt: "", width: photo.size[0], height: photo.size[1] });
  const whole = element("span", {}, image);
  whole.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  if (boxed && photo.parts.length) whole.append(boxes(photo, numbered));
  image.addEventListener("error", async () => {
    let words = "This picture cannot be shown.";
    try { words = (await (await fetch(image.src)).json()).error || words; } catch { /* no words came */ }
    whole.replaceWith(missing(words));
  });
  return whole;
}

// The parts of a photo with bars of their attention; a row and its box show each other.
function partsTable(photo, shown) {
  const rows = element("tbody"), most = Math.max(1e-9, ...photo.parts.map(part => part.weight));
  photo.parts.forEach((part, place) => {
    const bar = element("span"), number = element("span", { class: "place" }, String(place + 1));
    bar.style.width = `${100 * part.weight / most}%`;
    const row = element("tr", {},
      element("th", { scope: "row" }, number, part.name),
      element("td", { class: "bar" }, element("div", { "aria-hidden": "true" }, bar)),
      element("td", { class: "number" }, `${(100 * part.weight).toFixed(1)} %`));
    const box = shown.querySelector(`[data-part="${place}"]`);
    for (const one of box ? [row, box] : [])
      for (const [event, on] of [["pointerenter", true], ["pointerleave", false]])
        one.addEventListener(event, () => [row, box].forEach(other => other.classList.toggle("on", on)));
    rows.append(row);
  });
  const head = element("tr", {}, ...["part", "", "attention"].map((word, place) =>
    element(word ? "th" : "td", word ? { scope: "col", class: place ? "number" : "" } : {}, word)));
  return element("table", { class: "parts" }, element("thead", {}, head), rows);
}

// A photo large, with what is known of it beside or below it.
export function look(photo, { kind, boxed, weighed }) {
  const shown = element("div", { class: "picture large" }, picture(photo, { kind, boxed, numbered: true }));
  if (photo.size) shown.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  shown.setAttribute("role", "img");
  shown.setAttribute("aria-label", photo.problem ? `no picture of ${photo.title}` : `${kind === "photo" ? "photograph" : `heatmap ${kind}`} of ${photo.title}`);
  const told = photo.parts.length ? partsTable(photo, shown)
    : element("p", { class: "quiet" }, weighed ? "No part was found in this photo." : "This network looks at no parts.");
  return [shown, element("div", {}, told)];
}

// A tile that leads to an address; `more` stands in its caption.
export function tile(photo, address, words, boxed, ...more) {
  const shown = element("a", { class: "picture", href: address, "aria-label": words, title: photo.name }, picture(photo, { boxed }));
  return element("li", {}, element("figure", {}, shown, element("figcaption", {}, ...more.filter(Boolean).map(one => typeof one === "string" ? element("span", {}, one) : one))));
}

export const camera = photo => photo.camera < 0 ? "" : `camera ${photo.camera}`;
