// Files that the page writes for the user: results as CSV and JSON, marks as CSV.

import { markOf } from "/page/marks.js";
import { element, exportName } from "/page/pictures.js";

const COLUMNS = ["query", "rank", "candidate", "score", "confidence", "accepted", "camera", "mark", "problem"];

// RFC 4180: a field with a comma, a quote or a line break is quoted
const field = value => /[",\r\n]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
export const csv = rows => rows.map(row => `${row.map(field).join(",")}\r\n`).join("");

// A result is { query, matches } or, of a photo that could not be searched with, { query, problem }.
function records({ query, matches = [], problem = null }) {
  const name = exportName(query);
  const found = matches.map((photo, index) => ({
    query: name, rank: index + 1, candidate: photo.name, score: photo.score,
    confidence: photo.confidence, accepted: photo.accepted, camera: photo.camera < 0 ? null : photo.camera, mark: markOf(query, photo), problem: null,
  }));
  return found.length ? found : [{ query: name, problem: problem ?? "no match" }];
}

export function resultsCsv(results) {
  return csv([COLUMNS, ...results.flatMap(records).map(record => COLUMNS.map(column => record[column]))]);
}

export function resultsJson(results, filter) {
  const queries = results.map(({ query, matches = [], problem = null }) => ({
    query: query.name, box: query.box ?? null, parts: query.parts ?? [], problem,
    matches: matches.map((photo, index) => ({
      rank: index + 1, candidate: photo.name, score: photo.score, confidence: photo.confidence,
      accepted: photo.accepted, camera: photo.camera < 0 ? null : photo.camera, mark: markOf(query, photo), parts: photo.parts,
    })),
  }));
  return `${JSON.stringify({ run: document.body.dataset.run, filter, queries }, null, 1)}\n`;
}

export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be asking where to save it
}
