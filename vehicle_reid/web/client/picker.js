// The dialog that lists the gallery by name, to choose an image to search with or to compare.

import { get } from "/page/server.js";
import { cameraText, nameText, tile } from "/page/pictures.js";

const PAGE_SIZE = 24;
const id = name => document.getElementById(name);

export function imageTiles(images, addressOf) {
  return images.map(photo => tile(photo, addressOf(photo.key), [photo.name, cameraText(photo)].filter(Boolean).join(", "), false,
    nameText(photo.name), cameraText(photo)));
}

// `addressOf(key, slot)` is the address of the page with an image in a slot: q to search with, c to compare.
export function startPicker(addressOf) {
  const dialog = id("picker");
  let slot = "q", start = 0, pending = new AbortController();

  async function show() {
    pending.abort();
    pending = new AbortController();
    const query = new URLSearchParams({ start, count: PAGE_SIZE, words: id("words").value });
    if (id("picker-camera")?.value) query.set("camera", id("picker-camera").value);
    id("picker-problem").hidden = true;
    try {
      const { total, images } = await get(`/gallery?${query}`, pending.signal);
      id("gallery").replaceChildren(...imageTiles(images, key => addressOf(key, slot)));
      id("picker-count").textContent = total ? `${start + 1} to ${start + images.length} of ${total.toLocaleString("en")}` : "no images";
      id("previous").disabled = start === 0;
      id("next").disabled = start + images.length >= total;
    } catch (error) {
      if (error.name === "AbortError") return;
      id("gallery").replaceChildren();
      id("picker-count").textContent = "";
      id("picker-problem").textContent = error.message;
      id("picker-problem").hidden = false;
    }
  }
  const move = by => { start = Math.max(0, start + by); dialog.scrollTop = 0; show(); };
  id("previous").addEventListener("click", () => move(-PAGE_SIZE));
  id("next").addEventListener("click", () => move(PAGE_SIZE));
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
