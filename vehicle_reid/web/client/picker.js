// The dialog that lists the gallery by name, to choose an image to search with or to compare.

import { list } from "/page/api.js";
import { startFilters } from "/page/filters.js";
import { cameraText, detailTexts, nameText, tile } from "/page/pictures.js";

const PAGE_SIZE = 24;
const id = name => document.getElementById(name);

export function imageTiles(images, addressOf) {
  return images.map(photo => tile(photo, addressOf(photo.key), [photo.name, cameraText(photo)].filter(Boolean).join(", "), false,
    nameText(photo.name), cameraText(photo), ...detailTexts(photo)));
}

// `addressOf(key, slot)` is the address of the page with an image in a slot: q to search with, c to compare. `other()` is
// the photo that an image is to be compared with.
export function startPicker(addressOf, other) {
  const dialog = id("picker");
  let slot = "q", start = 0, pending = new AbortController(), waiting = false;

  // Shows the images from number `from` on; `start` is that of the images which are shown.
  async function show(from) {
    pending.abort();
    pending = new AbortController();
    waiting = true;
    const page = Object.entries({ start: from, count: PAGE_SIZE, words: id("words").value });
    id("picker-problem").hidden = true;
    try {
      const { total, images } = await list([...page, ...filters.conditions(compared(), filters.chosen())], pending.signal);
      start = from;
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
    waiting = false;
  }
  const compared = () => slot === "c" ? other() : null;
  const restart = () => show(0);
  const filters = startFilters(id("picker-filters"), restart);
  function move(by) {
    if (waiting) return; // how far the list goes is not known yet; a disabled button would lose the focus
    dialog.scrollTop = 0;
    show(Math.max(0, start + by));
  }
  id("previous").addEventListener("click", () => move(-PAGE_SIZE));
  id("next").addEventListener("click", () => move(PAGE_SIZE));
  id("words").addEventListener("input", restart);
  id("gallery").addEventListener("click", event => { if (event.target.closest("a")) dialog.close(); });
  for (const button of document.querySelectorAll(".pick"))
    button.addEventListener("click", () => {
      slot = button.dataset.for;
      id("words").value = "";
      filters.offerOwn(compared());
      dialog.showModal();
      restart();
    });
}
