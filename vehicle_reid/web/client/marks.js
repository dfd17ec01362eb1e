// The user's marks: whether a candidate is the same vehicle as a query. They stay in this browser, for this gallery.

import { element, exportName } from "/page/pictures.js";

const STORE = `marks ${document.body.dataset.gallery}`;
const WORDS = { same: ["✓ same", "the same vehicle"], another: ["✗ another", "another vehicle"] };
let unstored = "[]", stores = true; // a browser may refuse to store: marks then last as long as the page

function load() {
  if (stores) try { return JSON.parse(localStorage.getItem(STORE) ?? "[]"); } catch { stores = false; }
  return JSON.parse(unstored);
}

function save(marks) {
  unstored = JSON.stringify(marks);
  if (stores) try { localStorage.setItem(STORE, unstored); } catch { stores = false; }
}

const identity = photo => photo.key?.[0] === "p" ? photo.key : photo.name; // names of uploads may repeat
const isOf = (query, candidate) => mark => mark.query === identity(query) && mark.candidate === candidate.name;

export const markOf = (query, candidate) => load().find(isOf(query, candidate))?.mark ?? null;
export const countMarks = () => load().length;
export const deleteMarks = () => save([]);
export const markRows = () => [["query", "candidate", "mark"], ...load().map(({ name, candidate, mark }) => [name, candidate, mark])];

function toggle(query, candidate, mark) {
  const marks = load(), others = marks.filter(one => !isOf(query, candidate)(one));
  if (others.length === marks.length || markOf(query, candidate) !== mark)
    others.push({ query: identity(query), name: exportName(query), candidate: candidate.name, mark });
  save(others);
}

// Two buttons that mark a candidate; pressing the pressed one takes the mark back. `changed` is called after each.
export function markButtons(query, candidate, changed) {
  const group = element("span", { class: "marks", role: "group", "aria-label": `Your judgement of ${candidate.name}` });
  for (const [mark, [text, meaning]] of Object.entries(WORDS)) {
    const button = element("button", { type: "button", "data-mark": mark, title: `This is ${meaning}`, "aria-label": `${candidate.name} is ${meaning}` }, text);
    button.addEventListener("click", () => { toggle(query, candidate, mark); changed(); });
    group.append(button);
  }
  group.show = () => {
    const own = markOf(query, candidate);
    for (const button of group.children) button.setAttribute("aria-pressed", button.dataset.mark === own);
    const figure = group.closest("figure");
    if (figure) figure.dataset.mark = own ?? "";
  };
  return group;
}

// Shows the marks as they are now on all buttons of the page.
export function showMarks() {
  for (const group of document.querySelectorAll(".marks")) group.show();
}
