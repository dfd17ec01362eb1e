// The filters of a group of controls: what the user has chosen, as parameters of the API.

const OWN = "own"; // in place of a camera: that of the photo which is searched with

// `changed` is called after each choice. Returns functions that read and set the controls.
export function startFilters(group, changed) {
  const camera = group.querySelector("[data-filter=camera]"), more = group.querySelector(".more");
  const fields = [...group.querySelectorAll("[data-filter]:not([data-filter=camera])")];

  const valueOf = field => field.options ? field.value : field.value.trim();

  // Pairs of name and value; the own camera is written as OWN.
  const chosen = () => [
    ...camera?.value ? [camera.value.split("=")] : [],
    ...fields.map(field => [field.dataset.filter, valueOf(field)]).filter(([, value]) => value),
  ];
  // What is sent of such pairs for a photo, null for none; its own camera is no condition if it is not known.
  const conditions = (photo, pairs) => pairs
    .map(([name, value]) => name === "not-camera" && value === OWN ? [name, photo?.camera ?? null] : [name, value])
    .filter(([, value]) => value !== null);

  // What is chosen, for people to read.
  const words = some => some.filter(field => field && valueOf(field))
    .map(field => `${field.dataset.label} ${field.selectedOptions?.[0].text ?? valueOf(field)}`).join(", ");

  function show() {
    if (more) more.querySelector("summary span").textContent = words(fields) && `: ${words(fields)}`;
  }

  // Sets the controls to what an address holds; what is not offered is left out.
  function put(parameters) {
    const cameras = ["camera", "not-camera"].map(name => `${name}=${parameters.get(name)}`);
    if (camera) camera.value = [...camera.options].find(option => cameras.includes(option.value))?.value ?? "";
    for (const field of fields) {
      field.value = parameters.get(field.dataset.filter) ?? "";
      if (field.selectedIndex === -1) field.value = "";
    }
    show();
  }

  const isOwn = () => chosen().some(([name, value]) => name === "not-camera" && value === OWN);
  // Offers the own camera only if it is known.
  function offerOwn(photo) {
    const option = camera?.querySelector(`[value$="${OWN}"]`);
    if (!option) return;
    option.disabled = photo?.camera == null;
    if (option.disabled && option.selected) camera.value = "";
  }

  for (const field of [camera, ...fields]) field?.addEventListener("change", () => { show(); changed(); });
  more?.querySelector("button").addEventListener("click", () => { put(new URLSearchParams()); changed(); });
  return { chosen, conditions, put, isOwn, offerOwn, words: () => words([camera, ...fields]) };
}
