// The gallery by name, in a dialog: to search with one of its images, or to compare one.

import { ask } from "/page/server.js";
import { camera, element, tile } from "/page/pictures.js";

const COUNT = 24;
const id = name => document.getElementById(name);

export function tiles(images, addressOf) {
  return images.map(photo => tile(photo, addressOf(photo.key), [photo.name, camera(photo)].filter(Boolean).join(", "), false,
    element("span", { class: "name" }, photo.name), camera(photo)));
}

// `addressOf(key, slot)` is where an image leads that is picked for a slot: q to search with, c to compare.
export function startPicker(addressOf) {
  const dialog = id("picker");
  let slot = "q", start = 0, asked = new AbortController();

  async function show() {
    asked.abort();
    asked = new AbortController();
    const wanted = new URLSearchParams({ start, count: COUNT, words: id("words").value });
    if (id("picker-camera")?.value) wanted.set("camera", id("picker-camera").value);
    id("picker-problem").hidden = true;
    try {
      const { total, images } = await ask(`/gallery?${wanted}`, asked.signal);
      id("gallery").replaceChildren(...tiles(images, key => addressOf(key, slot)));
      id("picker-count").textContent = total ? `${start + 1} to ${start + images.length} of ${total.toLocaleString("en")}` : "none";
      id("before").disabled = start === 0;
      id("after").disabled = start + images.length >= total;
    } catch (error) {
      if (error.name === "AbortError") return;
      id("picker-problem").textContent = error.message;
      id("picker-problem").hidden = false;
    }
  }
  const turn = by => { start = Math.max(0, start + by); dialog.scrollTop = 0; show(); };
  id("before").addEventListener("click", () => turn(-COUNT));
  id("after").addEventListener("click", () => turn(COUNT));
  for (const control of [id("words"), id("picker-camera")]) control?.addEventListener("input", () => { start = 0; show(); });
  id("gallery").addEventListener("click", event => { if (event.target.closest("a")) dialog.close(); });
  for (const button of document.querySelectorAll(".pick"))
    button.addEventListener("click", () => {
      slot = button.dataset.for;
      start = 0;
      id("words").value = "";
      dialog.showModal();
      show();
    });
}
