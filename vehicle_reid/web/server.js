// What is asked of the server. Every fault is an Error whose message can be shown as it is.

const LOST = "The server does not answer; is `python cli.py serve` still running?";

async function answered(address, options) {
  let answer;
  try { answer = await fetch(address, options); }
  catch (error) { throw error.name === "AbortError" ? error : new Error(LOST); }
  if (answer.ok) return answer.json();
  let words = answer.status === 503 ? "Too much is asked at once; try again in a moment." : `The server answers with status ${answer.status}.`;
  try { words = (await answer.json()).error || words; } catch { /* no words of its own: a server that is overrun */ }
  throw new Error(words);
}

export const ask = (address, signal) => answered(address, { signal });

export function send(file) {
  const limit = Number(document.body.dataset.limit);
  if (file.size > limit) {
    const told = size => `${(size / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;
    throw new Error(`this file has ${told(file.size)}, more than the ${told(limit)} that are taken; make it smaller, or start with a larger --max-upload`);
  }
  return answered("/photos", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
}
