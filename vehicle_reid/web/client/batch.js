// A batch of photos: a queue that is searched one by one, and its table. Each file has a row, whatever happens to it.

import { element } from "/page/pictures.js";
import { ServerGone, upload } from "/page/server.js";

const id = name => document.getElementById(name);
const isImage = name => document.body.dataset.suffixes.split(",").some(suffix => name.toLowerCase().endsWith(suffix));
const LEFT = ["waiting", "stopped", "failed"]; // what a further try can change
const rows = [];
let running = false, stopping = false, changed = null;

// Files of an input; those of a folder that are no images by their names get a row that says so.
export const chosenFiles = input => [...input.files].map(file => {
  const name = file.webkitRelativePath || file.name;
  return { name, file, inFolder: Boolean(file.webkitRelativePath) };
});

// Files that were dropped, also those in folders. The entries must be asked for before anything is awaited.
export async function droppedFiles(transfer) {
  const items = [...transfer.items].filter(item => item.kind === "file").map(item => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const listed = items.map(([entry, file]) => entry?.isDirectory ? filesIn(entry) : [{ name: file.name, file, inFolder: false }]);
  return (await Promise.all(listed)).flat();
}

async function filesIn(folder) {
  const reader = folder.createReader(), found = [], name = entry => entry.fullPath.replace(/^\//, "");
  try {
    for (let some; (some = await new Promise((done, fail) => reader.readEntries(done, fail))).length;) found.push(...some); // 100 at a time
  } catch (error) { return [{ name: name(folder), problem: `cannot be read: ${error.message}` }]; }
  if (!found.length) return [{ name: name(folder), problem: "is an empty folder" }];
  const listed = await Promise.all(found.sort((one, other) => one.name < other.name ? -1 : 1).map(async entry => {
    if (entry.isDirectory) return filesIn(entry);
    try { return [{ name: name(entry), file: await new Promise((done, fail) => entry.file(done, fail)), inFolder: true }]; }
    catch (error) { return [{ name: name(entry), problem: `cannot be read: ${error.message}` }]; }
  }));
  return listed.flat();
}

const isPassedOver = ({ name, inFolder }) => inFolder && (/(^|\/)[.]/.test(name) || !isImage(name));

function makeRow(entry, filter) {
  const problem = entry.problem ?? (isPassedOver(entry) ? "passed over: not an image by its name" : null);
  const row = { ...entry, filter, state: problem ? "left out" : "waiting", problem, photo: null, matches: [], node: element("tr") };
  showRow(row);
  return row;
}

const bestText = best => !best ? "no match" : best.accepted === false ? `no match (nearest: ${best.name})` : best.name;

function showRow(row) {
  const { state, photo, matches: [best], problem } = row;
  const name = element("th", { scope: "row" }, photo ? element("a", { href: `#q=${photo.key}` }, row.name) : row.name);
  const rest = problem ? [element("td", { colspan: 2, class: "why" }, problem)]
    : [element("td", {}, state === "done" ? bestText(best) : ""), element("td", { class: "number" }, best ? best.score.toFixed(3) : "")];
  row.node.dataset.state = state;
  row.node.replaceChildren(name, element("td", { class: "state" }, state), ...rest);
}

function setState(row, state, more = {}) {
  Object.assign(row, { state, problem: null, ...more });
  showRow(row);
  showCount();
}

function showCount() {
  const counts = new Map();
  for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1);
  const parts = [...counts].map(([state, count]) => `${count} ${state}`);
  id("batch-count").textContent = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "photo" : "photos"}: ${parts.join(", ")}`;
  id("batch").hidden = !rows.length;
  id("batch-stop").hidden = !running;
  id("batch-retry").hidden = running || !rows.some(({ state }) => LEFT.includes(state));
  for (const name of ["batch-csv", "batch-json", "batch-clear"]) id(name).disabled = running;
  changed();
}

async function work(searchWith) {
  if (running) return;
  running = true;
  stopping = false;
  for (let row; !stopping && (row = rows.find(({ state }) => state === "waiting"));) {
    setState(row, "searching");
    try {
      const photo = await upload(row.file, row.name);
      setState(row, "done", { photo, matches: await searchWith(photo, row.filter) });
    } catch (error) {
      setState(row, "failed", { problem: error.message.replace(`${row.name}: `, "") });
      if (error instanceof ServerGone) stopping = true; // the others would fail too
    }
  }
  running = false;
  for (const row of rows) if (row.state === "waiting") setState(row, "stopped");
  showCount();
}

// The rows before and after that of a photo that can be opened, and its place from 1; null if it is not in the batch.
export function placeOf(key) {
  const keys = [...new Set(rows.filter(({ photo }) => photo).map(({ photo }) => photo.key))], index = keys.indexOf(key); // a file may be there twice
  return index < 0 ? null : { place: index + 1, count: keys.length, previous: keys[index - 1], next: keys[index + 1] };
}

// The results of the batch, as `exports.js` takes them.
export const batchResults = () => rows.map(({ name, photo, filter, matches, problem, state }) => photo
  ? { query: { ...photo, name }, filter: String(new URLSearchParams(filter)), matches }
  : { query: { name }, problem: problem ?? `not searched: ${state}` });

// `searchWith(photo, filter)` returns the matches of a photo; `filter()` is what is chosen when a photo is added, and stays with
// its row; `whenChanged` is called after each change of the rows. Returns a function that adds files to the batch.
export function startBatch(searchWith, filter, whenChanged) {
  changed = whenChanged;
  id("batch-stop").addEventListener("click", () => { stopping = true; });
  id("batch-retry").addEventListener("click", () => {
    for (const row of rows) if (LEFT.includes(row.state)) setState(row, "waiting");
    work(searchWith);
  });
  id("batch-clear").addEventListener("click", () => {
    rows.length = 0;
    id("batch-rows").replaceChildren();
    showCount();
  });
  addEventListener("beforeunload", event => { if (running) event.preventDefault(); }); // the browser asks the user
  return entries => {
    const by = filter(), added = entries.map(entry => makeRow(entry, by));
    rows.push(...added);
    id("batch-rows").append(...added.map(({ node }) => node));
    id("batch-details").open = true;
    showCount();
    work(searchWith);
  };
}
