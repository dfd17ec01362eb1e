// Requests to the server. Every failure is an Error whose message can be shown to the user.

const NO_SERVER = "The server is not responding; is `python cli.py serve` still running?";

async function request(address, options) {
  let response;
  try { response = await fetch(address, options); }
  catch (error) { throw error.name === "AbortError" ? error : new Error(NO_SERVER); }
  if (response.ok) return response.json();
  let message = response.status === 503 ? "Too many requests at once; try again in a moment." : `The server returned status ${response.status}.`;
  try { message = (await response.json()).error || message; } catch { /* an overloaded server sends no JSON */ }
  throw new Error(message);
}

export const get = (address, signal) => request(address, { signal });

export function upload(file) {
  const limit = Number(document.body.dataset.limit);
  if (file.size > limit) {
    const megabytes = size => `${(size / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;
    throw new Error(`this file has ${megabytes(file.size)}, the limit is ${megabytes(limit)}; shrink it, or restart with a larger --max-upload`);
  }
  return request("/photos", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
}
