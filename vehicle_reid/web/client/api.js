// What the page asks of the HTTP API; docs/api.md describes it.

import { get, post, ServerGone } from "/page/server.js";

// How the API is told of a photo: of an image of the gallery by its name, of an upload by its key.
const told = (photo, byName, byKey) => photo.key[0] === "p" ? [byKey, photo.key] : [byName, photo.name];

// The matches of a photo, the best first; only that one has the decision of a calibrated run.
export async function search(photo, conditions, signal) {
  const query = new URLSearchParams([told(photo, "name", "page-photo"), ...conditions]);
  const { matches, confidence, accepted } = await post(`/v1/search?${query}`, signal, photo.key);
  const decision = index => index ? { confidence: null, accepted: null } : { confidence, accepted };
  return matches.map((match, index) => ({ ...match, key: `g${match.id}`, ...decision(index) }));
}

// The cosine similarity of two photos.
export async function score(first, second, signal) {
  const query = new URLSearchParams([told(first, "first", "first-page-photo"), told(second, "second", "second-page-photo")]);
  return (await post(`/v1/compare?${query}`, signal, first.key, second.key)).score;
}

// Images of the gallery by name, to be shown, and how many there are.
export async function list(conditions, signal) {
  const { total, vehicles } = await get(`/v1/vehicles?${new URLSearchParams(conditions)}`, signal);
  return { total, images: await withPictures(vehicles, signal) };
}

// Images of the gallery with what their pictures need: size, parts, or the problem that prevents showing one.
export function withPictures(images, signal) {
  return Promise.all(images.map(async image => {
    const key = `g${image.id}`;
    try { return { ...await get(`/photos/${key}`, signal), ...image }; }
    catch (error) {
      if (error.name === "AbortError" || error instanceof ServerGone) throw error;
      return { parts: [], ...image, key, box: null, size: null, problem: error.message };
    }
  }));
}
