// Requests to the server; docs/http.md and docs/api.md list them. Every failure is an Error whose message can be shown to the user.

const NO_SERVER = "The server is not responding; is `python cli.py serve` still running?";
const uploads = new Map(); // what this page has uploaded, by key: { file, name, box }

export class ServerGone extends Error {}

async function request(address, options) {
  let response;
  try { response = await fetch(address, options); }
  catch (error) { throw error.name === "AbortError" ? error : new ServerGone(NO_SERVER); }
  if (response.ok) return response.json();
  let message = response.status === 503 ? "Too many requests at once; try again in a moment." : `The server returned status ${response.status}.`;
  try { message = (await response.json()).error || message; } catch { /* an overloaded server sends no JSON */ }
  throw Object.assign(new Error(message), { status: response.status });
}

// The answer about the photos of `keys`; uploads that the server no longer keeps are sent again.
async function answer(address, options, keys) {
  try { return await request(address, options); }
  catch (error) {
    if (error.status !== 404 || !await sentAgain(...keys)) throw error;
    return request(address, options);
  }
}
export const get = (address, signal, ...keys) => answer(address, { signal }, keys);
export const post = (address, signal, ...keys) => answer(address, { signal, method: "POST" }, keys);

// Sends the uploads among `keys` again; returns whether there was one.
export async function sentAgain(...keys) {
  const known = keys.map(uploadOf).filter(Boolean);
  for (const { file, name, box } of known) await upload(file, name, box);
  return known.length > 0;
}

export const uploadOf = key => uploads.get(key);

// Uploads a file, or what is inside a box [left, top, right, bottom] of it, and returns the photo.
export async function upload(file, name, box, signal) {
  const limit = Number(document.body.dataset.limit);
  if (file.size > limit) {
    const texts = digits => [file.size, limit].map(size => `${(size / 1e6).toLocaleString("en", { maximumFractionDigits: digits })} MB`);
    const [own, most] = [1, 2, 3, 4, 5, 6].map(texts).find(([one, other]) => one !== other); // with the digits that tell them apart
    throw new Error(`${name}: this file has ${own}, the limit is ${most}; shrink it, or restart with a larger --max-upload`);
  }
  try { await file.slice(0, 1).arrayBuffer(); }
  catch { signal?.throwIfAborted(); throw new Error(`${name}: cannot be read; it has been moved or changed, or it is no file`); }
  const query = new URLSearchParams({ name, ...(box && { box: box.join(",") }) });
  const headers = { "Content-Type": "application/octet-stream" };
  const photo = await request(`/photos?${query}`, { method: "POST", body: file, headers, signal });
  uploads.set(photo.key, { file, name, box });
  return photo;
}
