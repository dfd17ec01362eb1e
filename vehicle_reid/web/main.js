// The page. Its address holds the photo to search with (q) and the one to compare (c), so that Back and links work.

import { get, upload } from "/page/server.js";
import { cameraText, element, photoView, tile } from "/page/pictures.js";
import { imageTiles, startPicker } from "/page/picker.js";

const FIRST = 10; // images on the start page
const id = name => document.getElementById(name);
const fileNames = new Map(); // of uploads from this page, by key
const photos = { q: null, c: null }; // the photo to search with, and the one to compare
let pending = new AbortController();

const addressParameters = () => new URLSearchParams(location.hash.slice(1));
function addressOf(key, slot) {
  const parameters = slot === "q" ? new URLSearchParams() : addressParameters();
  parameters.set(slot, key);
  return `#${parameters}`;
}

const showStatus = text => { id("status").textContent = text; };
function showProblem(error) {
  id("problem").textContent = error ? error.message : "";
  id("problem").hidden = !error;
  if (error) id("problem").scrollIntoView({ block: "nearest" });
}

// Runs `work` with a status text; shows an error and returns whether there was none.
async function withStatus(text, work) {
  showProblem(null);
  showStatus(text);
  try { await work(); return true; }
  catch (error) { if (error.name !== "AbortError") showProblem(error); return false; }
  finally { showStatus(""); }
}

const withTitle = photo => ({ ...photo, title: fileNames.get(photo.key) || (photo.key[0] === "p" ? "uploaded photo" : photo.name) });
const headingOf = photo => [photo.title, cameraText(photo)].filter(Boolean).join(" · ");
const isBoxed = () => Boolean(id("boxes")?.checked);
const viewOptions = () => ({
  view: document.querySelector("[name=view]:checked").value, boxed: isBoxed(), usesParts: Boolean(id("boxes")),
});

function showPhotos() {
  const { q, c } = photos;
  if (q) id("query-view").replaceChildren(...photoView(q, viewOptions()));
  if (!q || !c) return;
  for (const [side, photo] of [["left", q], ["right", c]]) {
    id(side).replaceChildren(element("h3", {}, headingOf(photo)), ...photoView(photo, viewOptions()));
  }
}

function showMatches(matches) {
  id("matches").replaceChildren(...matches.map((photo, index) => {
    const rank = index + 1, score = photo.score.toFixed(3), camera = cameraText(photo);
    const label = `Search with rank ${rank}, score ${score}${camera && `, ${camera}`}: ${photo.name}`;
    const compare = element("a", { href: addressOf(photo.key, "c"), "aria-label": `Compare with rank ${rank}` }, "compare");
    return tile(photo, addressOf(photo.key, "q"), label, isBoxed(), element("b", {}, `${rank}.`), score, camera, compare);
  }));
  id("count").textContent = matches.length ? "" : "No image of the gallery matches this filter.";
}

let matches = [], lastSearch = 0;
async function search(key, signal) {
  const filter = id("camera")?.value, own = ++lastSearch;
  const found = await get(`/photos/${key}/matches?k=${id("k").value}${filter ? `&${filter}` : ""}`, signal);
  if (own === lastSearch) showMatches(matches = found); // unless a later search was faster
}

async function compare(key, signal) {
  photos.c = null;
  if (!key) return;
  const [photo, { score }] = await Promise.all([get(`/photos/${key}`, signal), get(`/scores/${photos.q.key}/${key}`, signal)]);
  photos.c = withTitle(photo);
  id("score").textContent = `Cosine similarity: ${score.toFixed(3)}`;
}

// Shows the photos of the address; cancels pending requests.
async function showAddress(moved) {
  pending.abort();
  pending = new AbortController();
  const { signal } = pending, parameters = addressParameters(), q = parameters.get("q"), c = parameters.get("c");
  const isNew = q !== photos.q?.key, isNewComparison = c && c !== photos.c?.key;
  const succeeded = !q || await withStatus("Searching…", async () => {
    if (isNew) {
      photos.q = null;
      const photo = withTitle(await get(`/photos/${encodeURIComponent(q)}`, signal));
      await search(photo.key, signal);
      photos.q = photo;
    }
    await compare(c && encodeURIComponent(c), signal);
  });
  if (signal.aborted) return;
  if (!q) photos.q = photos.c = null;
  const searching = Boolean(photos.q);
  document.body.classList.toggle("searching", searching);
  id("start").hidden = searching;
  for (const name of ["query", "results", "compare"]) id(name).hidden = !searching;
  for (const name of ["left", "right", "score"]) id(name).hidden = !photos.c;
  if (searching) id("query-heading").textContent = headingOf(photos.q);
  document.title = searching ? `${photos.q.title} · search for a vehicle` : "Search for a vehicle";
  showPhotos();
  const heading = isNewComparison ? "compare-heading" : isNew ? "query-heading" : null;
  if (succeeded && moved && searching && heading) {
    id(heading).focus({ preventScroll: true });
    id(isNewComparison ? "compare" : "upload").scrollIntoView();
  }
}

async function uploadFile([file], slot) {
  if (!file) return showProblem(new Error("This is not a file; drop a JPEG or PNG image."));
  await withStatus(`Processing ${file.name}…`, async () => {
    try {
      const photo = await upload(file);
      fileNames.set(photo.key, file.name);
      const address = addressOf(photo.key, slot);
      if (location.hash === address) await showAddress(true); else location.hash = address;
    } catch (error) { throw new Error(`${file.name}: ${error.message.replace("this photo: ", "")}`); }
  });
}

function acceptFiles(area, input, slot) {
  input.addEventListener("change", () => { uploadFile(input.files, slot).then(() => { input.value = ""; }); });
  for (const kind of ["dragenter", "dragover"]) area.addEventListener(kind, event => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", event => { event.preventDefault(); area.classList.remove("over"); uploadFile(event.dataTransfer.files, slot); });
}

acceptFiles(id("drop"), id("file"), "q");
acceptFiles(id("drop-second"), id("file-second"), "c");
// a file dropped beside the area would replace the page
for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());
for (const control of document.querySelectorAll("[name=view]")) control.addEventListener("change", showPhotos);
id("boxes")?.addEventListener("change", () => { showPhotos(); showMatches(matches); });
for (const control of [id("camera"), id("k")]) control?.addEventListener("change", () => withStatus("Searching…", () => search(photos.q.key, pending.signal)));
addEventListener("hashchange", () => showAddress(true));
startPicker(addressOf);
withStatus("", async () => id("first").replaceChildren(...imageTiles((await get(`/gallery?count=${FIRST}`)).images, key => addressOf(key, "q"))));
showAddress(false);
