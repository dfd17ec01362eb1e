// The page: what is searched with and compared stands in the address, so that Back goes back and a link can be kept.

import { ask, send } from "/page/server.js";
import { camera, element, look, tile } from "/page/pictures.js";
import { startPicker, tiles } from "/page/picker.js";

const FIRST = 10; // images to start from
const id = name => document.getElementById(name);
const files = new Map(); // names of the files that were uploaded from here, by key
const photos = { q: null, c: null }; // what is searched with, and what it is compared with
let asked = new AbortController();

const state = () => new URLSearchParams(location.hash.slice(1));
function addressOf(key, slot) {
  const wanted = slot === "q" ? new URLSearchParams() : state();
  wanted.set(slot, key);
  return `#${wanted}`;
}

const doing = words => { id("doing").textContent = words; };
function tell(error) {
  id("problem").textContent = error ? error.message : "";
  id("problem").hidden = !error;
  if (error) id("problem").scrollIntoView({ block: "nearest" });
}

// Runs `work` while `words` tell so; a fault is told, and true comes back where there was none.
async function under(words, work) {
  tell(null);
  doing(words);
  try { await work(); return true; }
  catch (error) { if (error.name !== "AbortError") tell(error); return false; }
  finally { doing(""); }
}

const titled = photo => ({ ...photo, title: files.get(photo.key) || (photo.key[0] === "p" ? "uploaded photo" : photo.name) });
const headed = photo => [photo.title, camera(photo)].filter(Boolean).join(" · ");
const shown = () => ({
  kind: document.querySelector("[name=kind]:checked").value, boxed: Boolean(id("boxes")?.checked), weighed: Boolean(id("boxes")),
});

function showLooks() {
  const { q, c } = photos;
  if (q) id("query-look").replaceChildren(...look(q, shown()));
  if (!q || !c) return;
  for (const [side, photo] of [["left", q], ["right", c]]) {
    id(side).replaceChildren(element("h3", {}, headed(photo)), ...look(photo, shown()));
  }
}

function showMatches(found) {
  const boxed = Boolean(id("boxes")?.checked);
  id("matches").replaceChildren(...found.map((photo, place) => {
    const score = photo.score.toFixed(3);
    const words = `Search on from rank ${place + 1}, score ${score}${camera(photo) && `, ${camera(photo)}`}: ${photo.name}`;
    const compare = element("a", { href: addressOf(photo.key, "c"), "aria-label": `Compare with rank ${place + 1}` }, "compare");
    return tile(photo, addressOf(photo.key, "q"), words, boxed, element("b", {}, `${place + 1}.`), score, camera(photo), compare);
  }));
  id("count").textContent = found.length ? "" : "No image of the gallery is left by this choice.";
}

let matches = [], turn = 0;
async function search(key, signal) {
  const chosen = id("camera")?.value, own = ++turn;
  const found = await ask(`/photos/${key}/matches?k=${id("k").value}${chosen ? `&${chosen}` : ""}`, signal);
  if (own === turn) showMatches(matches = found); // another may have been asked for later and have come sooner
}

async function compare(key, signal) {
  photos.c = null;
  if (!key) return;
  const [photo, found] = await Promise.all([ask(`/photos/${key}`, signal), ask(`/scores/${photos.q.key}/${key}`, signal)]);
  photos.c = titled(photo);
  id("score").textContent = `Cosine of their features: ${found.score.toFixed(3)}`;
}

// Shows what the address tells; what was asked for before and has not come yet is dropped.
async function follow(moved) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked, wanted = state(), q = wanted.get("q"), c = wanted.get("c");
  const isNew = q !== photos.q?.key, compared = c && c !== photos.c?.key;
  const fine = !q || await under("Searching…", async () => {
    if (isNew) {
      photos.q = null;
      const photo = titled(await ask(`/photos/${encodeURIComponent(q)}`, signal));
      await search(photo.key, signal);
      photos.q = photo;
    }
    await compare(c && encodeURIComponent(c), signal);
  });
  if (signal.aborted) return;
  if (!q) photos.q = photos.c = null;
  const there = Boolean(photos.q);
  document.body.classList.toggle("asked", there);
  id("start").hidden = there;
  for (const name of ["query", "found", "compare"]) id(name).hidden = !there;
  for (const name of ["left", "right"]) id(name).hidden = !photos.c;
  id("score").hidden = !photos.c;
  if (there) id("query-heading").textContent = headed(photos.q);
  document.title = there ? `${photos.q.title} · search for a vehicle` : "Search for a vehicle";
  showLooks();
  const heading = compared ? "compare-heading" : isNew ? "query-heading" : null;
  if (fine && moved && there && heading) {
    id(heading).focus({ preventScroll: true });
    id(compared ? "compare" : "ask").scrollIntoView();
  }
}

async function upload(list, slot) {
  const [file] = list;
  if (!file) return tell(new Error("That is no file; drop a JPEG or PNG image."));
  await under(`Looking at ${file.name}…`, async () => {
    try {
      const photo = await send(file);
      files.set(photo.key, file.name);
      const address = addressOf(photo.key, slot);
      if (location.hash === address) await follow(true); else location.hash = address;
    } catch (error) { throw new Error(`${file.name}: ${error.message.replace("this photo: ", "")}`); }
  });
}

function takeFiles(area, input, slot) {
  input.addEventListener("change", () => { upload(input.files, slot).then(() => { input.value = ""; }); });
  for (const kind of ["dragenter", "dragover"]) area.addEventListener(kind, event => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", event => { event.preventDefault(); area.classList.remove("over"); upload(event.dataTransfer.files, slot); });
}

takeFiles(id("drop"), id("file"), "q");
takeFiles(id("drop-second"), id("file-second"), "c");
// a photo that is dropped beside the area is no page to go to
for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());
for (const control of document.querySelectorAll("[name=kind]")) control.addEventListener("change", showLooks);
id("boxes")?.addEventListener("change", () => { showLooks(); showMatches(matches); });
for (const control of [id("camera"), id("k")]) control?.addEventListener("change", () => under("Searching…", () => search(photos.q.key, asked.signal)));
addEventListener("hashchange", () => follow(true));
startPicker(addressOf);
under("", async () => id("first").replaceChildren(...tiles((await ask(`/gallery?count=${FIRST}`)).images, key => addressOf(key, "q"))));
follow(false);
