// Files that the page writes for the user: results as CSV and JSON, marks as CSV.

import { markOf } from "/page/marks.js";
import { element, exportName } from "/page/pictures.js";

const COLUMNS = ["query", "rank", "candidate", "score", "confidence", "accepted", "camera", "mark", "problem", "vehicle", "time"];
const DETAIL = "details."; // before other columns of the gallery, which may have any name

// RFC 4180: a field with a comma, a quote or a line break is quoted. Text that a spreadsheet would run as a formula gets an
// apostrophe: names and details may come from others.
function field(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
const BYTE_ORDER_MARK = "\ufeff"; // without it Excel takes UTF-8 for another encoding
export const csv = rows => BYTE_ORDER_MARK + rows.map(row => `${row.map(field).join(",")}\r\n`).join("");

// What is told of a match in both kinds of file.
const record = (query, { name, score, confidence, accepted, camera, vehicle, time }, index) =>
  ({ rank: index + 1, candidate: name, score, confidence, accepted, camera, vehicle, time, mark: markOf(query, { name }) });

const prefixed = details => Object.fromEntries(Object.entries(details).map(([name, value]) => [`${DETAIL}${name}`, value]));

// A result is { query, matches } or, of a photo that could not be searched with, { query, problem }.
function records({ query, filter = "", matches = [], problem = null }) {
  const name = exportName(query);
  const found = matches.map((photo, index) => ({ query: name, ...record(query, photo, index), problem: null, filter, ...prefixed(photo.details) }));
  return found.length ? found : [{ query: name, problem: problem ?? "no match", filter }];
}

// `withFilter` adds the filters that the photos were searched with, if there are any beside the number of images.
export function resultsCsv(results, withFilter) {
  const found = results.flatMap(records), others = found.flatMap(Object.keys).filter(name => name.startsWith(DETAIL));
  const columns = [...COLUMNS, ...withFilter && found.some(({ filter }) => filter.includes("&")) ? ["filter"] : [], ...new Set(others)];
  return csv([columns, ...found.map(one => columns.map(column => one[column]))]);
}

export function resultsJson(results) {
  const queries = results.map(({ query, filter = null, matches = [], problem = null }) => ({
    query: query.name, box: query.box ?? null, parts: query.parts ?? [], filter, problem,
    matches: matches.map((photo, index) => ({ ...record(query, photo, index), details: photo.details, parts: photo.parts })),
  }));
  return `${JSON.stringify({ run: document.body.dataset.run, queries }, null, 1)}\n`;
}

export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be asking where to save it
}
