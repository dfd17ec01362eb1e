// The page. Its address holds the photo to search with (q) and the one to compare (c), and before them the filters, so that
// Back, links and loading the page again work.

import { list, score, search as searchWith, withPictures } from "/page/api.js";
import { batchResults, chosenFiles, droppedFiles, placeOf, startBatch } from "/page/batch.js";
import { csv, download, resultsCsv, resultsJson } from "/page/exports.js";
import { startFilters } from "/page/filters.js";
import { countMarks, deleteMarks, markButtons, markRows, showMarks } from "/page/marks.js";
import { imageTiles, startPicker } from "/page/picker.js";
import { cameraText, detailTexts, element, nameText, photoView, picture, tile, visible } from "/page/pictures.js";
import { startRectangle } from "/page/rectangle.js";
import { get, upload, uploadOf } from "/page/server.js";

const FIRST = 10; // images on the start page
const MAX_BATCH = 2000; // files at once; more are a task for the command line
const id = name => document.getElementById(name);
const photos = { q: null, c: null }; // the photo to search with, and the one to compare
let matches = [], searchedBy = "", pending = new AbortController(), uploading = new AbortController(), lastSearch = 0;
let statusOf = null; // the work whose status is shown

const addressParameters = () => new URLSearchParams(location.hash.slice(1));
function addressOf(key, slot) {
  const parameters = slot === "q" ? new URLSearchParams() : addressParameters();
  parameters.set(slot, key);
  return `#${parameters}`;
}

function showStatus(text, work) {
  [id("status").textContent, statusOf] = [text, work];
}
function showProblem(error, place = "problem") {
  id(place).textContent = error ? error.message : "";
  id(place).hidden = !error;
  if (error) id(place).scrollIntoView({ block: "nearest" });
}

// Runs `work` with a status text, if there is one; shows an error and returns whether there was none.
async function withStatus(text, work, place = "problem") {
  showProblem(null);
  showProblem(null, "compare-problem");
  if (text) showStatus(text, work);
  try { await work(); return true; }
  catch (error) { if (error.name !== "AbortError") showProblem(error, place); return false; }
  finally { if (statusOf === work) showStatus("", null); } // not the status of what has begun meanwhile
}

const headingOf = photo => visible([photo.name, cameraText(photo)].filter(Boolean).join(" · "));
const isBoxed = () => Boolean(id("boxes")?.checked);

// What to show of a photo; `other` is the photo that its score is with.
function viewOptions(other) {
  const view = id("view").value, file = view !== "covered" ? `${view}.jpg` : other ? `covered.jpg?with=${other.key}` : "photo.jpg";
  return { file, viewName: id("view").selectedOptions[0].text, boxed: isBoxed(), usesParts: Boolean(id("boxes")) };
}
const filters = startFilters(id("filters"), filtersChanged);
const chosen = () => [["k", id("k").value], ...filters.chosen()];
const text = pairs => String(new URLSearchParams(pairs));

// Sets the controls to the filters in the address, and the address to those that there are.
function readFilters() {
  const parameters = new URLSearchParams(location.search), wanted = `#k option[value="${CSS.escape(parameters.get("k") ?? "")}"]`;
  id("k").value = document.querySelector(wanted)?.value ?? id("k").querySelector("[selected]").value;
  filters.put(parameters);
  writeFilters();
}
function writeFilters() {
  const isUsual = id("k").selectedOptions[0]?.defaultSelected, query = text(isUsual ? filters.chosen() : chosen());
  history.replaceState(null, "", `${location.pathname}${query && `?${query}`}${location.hash}`);
  id("batch-filters").textContent = filters.words() && `Photos that are added are searched with the filters: ${filters.words()}`;
}
function filtersChanged() {
  writeFilters();
  if (photos.q) searchAgain();
}

function showPhotos() {
  const { q, c } = photos;
  if (q) id("query-view").replaceChildren(...photoView(q, viewOptions(matches[0])));
  if (!q || !c) return;
  for (const [side, photo, other] of [["left", q, c], ["right", c, q]]) {
    const details = element("p", { class: "details" }, ...detailTexts(photo));
    id(side).replaceChildren(element("h3", {}, headingOf(photo)), details, ...photoView(photo, viewOptions(other)));
  }
}

function showMatches() {
  id("matches").replaceChildren(...matches.map((photo, index) => {
    const rank = index + 1, score = photo.score.toFixed(3), camera = cameraText(photo);
    const label = `Search with rank ${rank}, score ${score}${camera && `, ${camera}`}: ${photo.name}`;
    const compare = element("a", { href: addressOf(photo.key, "c"), "aria-label": `Compare with rank ${rank}` }, "compare");
    return tile(photo, addressOf(photo.key, "q"), label, isBoxed(), element("b", {}, `${rank}.`), score, camera,
      nameText(photo.name), ...detailTexts(photo), markButtons(photos.q, photo, marksChanged), compare);
  }));
  const none = isFiltered() ? "No image of the gallery matches this filter." : "There is no other image in the gallery.";
  id("count").textContent = !matches.length ? searchedBy && none // nothing is said if nothing was searched
    : filters.isOwn() && photos.q.camera === null ? "The camera of this photo is not known: none is left out." : "";
  showDecision(matches[0]);
  id("downloads").hidden = !matches.length;
  marksChanged();
}

// Whether some images of the gallery were left out of the search.
const isFiltered = () => filters.conditions(photos.q, [...new URLSearchParams(searchedBy)]).some(([name]) => name !== "k");

// Of a calibrated run: is the first match the vehicle, or is the vehicle not among those that were searched?
function showDecision(best) {
  const known = typeof best?.accepted === "boolean", confidence = known ? best.confidence.toFixed(3) : "";
  id("decision").hidden = !known;
  id("decision").dataset.accepted = known ? best.accepted : "";
  const searched = isFiltered() ? "among the images that meet the filters" : "in the gallery";
  id("decision").textContent = !known ? "" : best.accepted
    ? `The first match is accepted as this vehicle: confidence ${confidence}.`
    : `No match: this vehicle is probably not ${searched}. The confidence of the first match is ${confidence}.`;
}

function marksChanged() {
  const count = countMarks();
  showMarks();
  id("marks").hidden = !count;
  id("marks-count").textContent = `${count.toLocaleString("en")} ${count === 1 ? "mark" : "marks"} in this browser`;
}

async function search(photo, signal) {
  const own = ++lastSearch, by = chosen();
  try {
    const found = await withPictures(await searchWith(photo, filters.conditions(photo, by), signal), signal);
    if (own === lastSearch) [matches, searchedBy] = [found, text(by)]; // unless a later search was faster
  } catch (error) {
    if (own === lastSearch) throw error;
  }
}

async function searchAgain() {
  const { signal } = pending, succeeded = await withStatus("Searching…", () => search(photos.q, signal));
  if (signal.aborted) return;
  if (!succeeded) [matches, searchedBy] = [[], ""]; // of another filter
  showMatches();
  if (id("view").value === "covered") showPhotos(); // it is with the best match
}

async function compare(key, signal) {
  photos.c = null;
  id("score").replaceChildren();
  if (!key) return;
  const photo = await get(`/photos/${key}`, signal, key), cosine = await score(photos.q, photo, signal);
  photos.c = photo;
  const buttons = photo.key[0] === "g" ? [markButtons(photos.q, photo, marksChanged)] : [];
  id("score").replaceChildren(`Cosine similarity: ${cosine.toFixed(3)} `, ...buttons);
  showMarks();
}

// Cancels what was asked for before: the user goes elsewhere.
function giveUp() {
  pending.abort();
  uploading.abort();
}

// Uploads a photo to go to; throws an AbortError if the user goes elsewhere meanwhile.
function uploadToOpen(file, name, box) {
  uploading.abort();
  uploading = new AbortController();
  return upload(file, name, box, uploading.signal);
}

// Shows the photos of the address; cancels pending requests.
async function showAddress(moved) {
  giveUp();
  pending = new AbortController();
  const { signal } = pending, parameters = addressParameters(), q = parameters.get("q"), c = parameters.get("c");
  readFilters();
  const isNew = q !== photos.q?.key || text(chosen()) !== searchedBy, isNewComparison = Boolean(c && c !== photos.c?.key);
  const found = !q || await withStatus("Searching…", async () => {
    if (!isNew) return;
    photos.q = photos.c = null;
    [matches, searchedBy] = [[], ""];
    const key = encodeURIComponent(q), photo = await get(`/photos/${key}`, signal, q);
    signal.throwIfAborted();
    photos.q = photo; // is shown even if the search fails: the filters that are to blame are beside it
    await search(photo, signal);
  });
  const compared = !found || !q || await withStatus("", () => compare(c && encodeURIComponent(c), signal), "compare-problem");
  if (signal.aborted) return;
  if (!q) {
    photos.q = photos.c = null;
    showProblem(null);
  }
  showView();
  if (photos.q && isNew) showMatches();
  if (moved && found && compared && photos.q && (isNew || isNewComparison)) {
    id(isNewComparison ? "compare-heading" : "results-heading").focus({ preventScroll: true });
    id(isNewComparison ? "compare" : "search").scrollIntoView();
  }
}

// Shows what `photos` holds, or the start page.
function showView() {
  const { q, c } = photos;
  document.body.classList.toggle("searching", Boolean(q));
  id("start").hidden = Boolean(q);
  for (const name of ["search", "compare"]) id(name).hidden = !q;
  for (const name of ["left", "right", "score"]) id(name).hidden = !c;
  id("batch-details").open = !q;
  document.title = q ? `${visible(q.name)} · search for a vehicle` : "Search for a vehicle";
  if (!q) return;
  id("query-heading").textContent = headingOf(q);
  id("results-heading").textContent = "Best matches";
  id("query-details").replaceChildren(...detailTexts(q));
  id("query-thumbnail").replaceChildren(picture(q, { boxed: false }));
  const file = uploadOf(q.key), [left, top, right, bottom] = q.box ?? [];
  id("box").textContent = q.box ? `the rectangle of ${right - left} x ${bottom - top} pixels at ${left}, ${top}` : "";
  id("choose-vehicle").hidden = !file;
  id("choose-vehicle").textContent = q.box ? "Choose another vehicle of this photo" : "Several vehicles? Choose one";
  showPlace();
  showPhotos();
}

function showPlace() {
  const place = photos.q && placeOf(photos.q.key);
  id("batch-nav").hidden = !place;
  id("batch-place").textContent = place ? `${place.place} of ${place.count}` : "";
  for (const [name, key] of [["batch-previous", place?.previous], ["batch-next", place?.next]]) {
    if (key) id(name).href = addressOf(key, "q"); else id(name).removeAttribute("href");
  }
}

// Shows the start page, with an error if there is one; Back returns to the results.
function goHome(error) {
  giveUp();
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  photos.q = photos.c = null;
  showView();
  showProblem(error);
}

async function open(photo, slot) {
  const address = addressOf(photo.key, slot);
  if (location.hash === address) { photos[slot] = null; await showAddress(true); } else location.hash = address;
}

const addToBatch = startBatch((photo, filter) => searchWith(photo, filters.conditions(photo, filter)), chosen, showPlace);

// Searches with one file, or adds several to the batch.
async function useFiles(entries) {
  const [first] = entries, [one] = entries.length === 1 && first.file && !first.inFolder ? entries : [];
  if (!first) return goHome(new Error("This is not a file; drop photos or a folder."));
  if (entries.length > MAX_BATCH)
    return goHome(new Error(`${entries.length.toLocaleString("en")} files; search with at most ${MAX_BATCH.toLocaleString("en")} at once, or use \`python cli.py gallery search\``));
  if (!one) {
    goHome(null);
    return addToBatch(entries);
  }
  pending.abort(); // what was asked for before
  let photo, problem;
  await withStatus(`Processing ${one.name}…`, async () => { try { photo = await uploadToOpen(one.file, one.name); } catch (error) { problem = error; } });
  if (problem?.name === "AbortError") return;
  if (problem) goHome(problem); else await open(photo, "q");
}

async function useSecondFile(entries) {
  const [one] = entries;
  const work = async () => {
    photos.c = null;
    showView();
    if (entries.length !== 1 || !one.file) throw new Error("Choose one photo to compare with.");
    await open(await uploadToOpen(one.file, one.name), "c");
  };
  await withStatus("Processing…", work, "compare-problem");
}

function acceptFiles(area, inputs, use) {
  for (const input of inputs)
    input.addEventListener("change", () => { use(chosenFiles(input)).then(() => { input.value = ""; }); });
  for (const kind of ["dragenter", "dragover"]) area.addEventListener(kind, event => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", event => {
    event.preventDefault();
    area.classList.remove("over");
    droppedFiles(event.dataTransfer).then(use);
  });
}

const openRectangle = startRectangle(async ({ file, name }, box) => {
  try { await open(await uploadToOpen(file, name, box), "q"); return null; }
  catch (error) { return error.name === "AbortError" ? null : error; }
});
id("choose-vehicle").addEventListener("click", () => withStatus("", async () => {
  const own = uploadOf(photos.q.key);
  openRectangle(own, own.box ? await uploadToOpen(own.file, own.name) : photos.q);
}));

const saveResults = (name, results, withFilter) => {
  id(`${name}-csv`).addEventListener("click", () => download(`${name}.csv`, "text/csv", resultsCsv(results(), withFilter)));
  id(`${name}-json`).addEventListener("click", () => download(`${name}.json`, "application/json", resultsJson(results())));
};
saveResults("matches", () => [{ query: photos.q, filter: searchedBy, matches }], false);
saveResults("batch", batchResults, true); // its photos may have different ones
id("marks-csv").addEventListener("click", () => download("marks.csv", "text/csv", csv(markRows())));
id("marks-clear").addEventListener("click", () => {
  if (!confirm(`Delete all ${countMarks()} marks of this gallery from this browser?`)) return;
  deleteMarks();
  marksChanged();
});
addEventListener("storage", marksChanged); // marks of another tab

acceptFiles(id("drop"), [id("file"), id("folder")], useFiles);
acceptFiles(id("drop-second"), [id("file-second")], useSecondFile);
// a file dropped beside the area would replace the page
for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());
id("view").addEventListener("change", showPhotos);
id("boxes")?.addEventListener("change", () => { showPhotos(); showMatches(); });
id("k").addEventListener("change", filtersChanged);
id("home").addEventListener("click", event => { event.preventDefault(); goHome(null); scrollTo(0, 0); });
addEventListener("popstate", () => showAddress(true)); // hashchange is not fired where the filters differ too
startPicker(addressOf, () => photos.q);
withStatus("", async () => id("first").replaceChildren(...imageTiles((await list([["count", FIRST]])).images, key => addressOf(key, "q"))));
showAddress(false);
