"""The search page in a browser: files, clicks, cameras, comparison, and files that cannot be used."""

import json
from pathlib import Path

import pytest

from helpers.browser.chromium import needs_browser
from helpers.browser.devtools import Tab
from helpers.browser.window import BROKEN, HEADING, IDLE, LOADED, MATCHES, PROBLEM, names, photo, searched, told
from helpers.places.api import Place
from helpers.places.serve import LIMIT, Served

pytestmark = needs_browser


def test_a_file_is_searched_with_and_all_that_is_known_of_it_is_shown(place: Place, page: Served, tab: Tab) -> None:
    path = photo(place)
    searched(tab, path)
    own = page.finder.gallery.search(path, k=10)
    assert names(tab) == list(own["name"])
    scores = tab.run("[...document.querySelectorAll('#matches figcaption')].map(one => one.innerText)")
    for place_, (shown, score, camera) in enumerate(zip(scores, own["score"], own["camera"], strict=True), start=1):
        for words in (f"{place_}.", f"{score:.3f}", f"camera {camera}", "compare"):
            assert words in shown
    embedded = page.finder.model.embed(path)
    rows = tab.run("[...document.querySelectorAll('#query-look tbody tr')].map(one => one.innerText)")
    weights = sorted(embedded["attention"][0].tolist(), reverse=True)
    assert len(rows) == len(weights) > 0
    for row, weight in zip(rows, weights, strict=True):
        assert f"{100 * weight:.1f} %" in row
    boxes = tab.run("[...document.querySelectorAll('#query-look svg g .over')].map(one => one.x.baseVal.value)")
    assert sorted(boxes) == pytest.approx(sorted(embedded["boxes"][0][:, 0].tolist()))
    assert tab.run(BROKEN) == 0 and tab.run("document.getElementById('start').hidden")


def test_heatmaps_and_boxes_are_shown_as_chosen(place: Place, page: Served, tab: Tab) -> None:
    searched(tab, photo(place))
    shown = "document.querySelector('#query-look img').src.split('/').pop()"
    for kind in ("Fp", "added", "Fg", "photo"):
        tab.run(f"document.querySelector('[name=kind][value={kind}]').click()")
        assert tab.wait(f"{LOADED} && {shown}") == f"{kind}.jpg" and tab.run(BROKEN) == 0
    tab.run("document.getElementById('boxes').click()")
    assert tab.run("document.querySelectorAll('svg').length") == 0
    tab.run("document.getElementById('boxes').click()")
    assert tab.run("document.querySelectorAll('#matches svg').length") > 0


def test_a_result_searches_on_and_back_goes_back(place: Place, page: Served, tab: Tab) -> None:
    searched(tab, photo(place))
    first = names(tab)
    tab.run("document.querySelectorAll('#matches a.picture')[1].click()")
    tab.wait(f"{HEADING}.startsWith({json.dumps(first[1])}) && {IDLE} && {LOADED}")
    second = names(tab)
    row = page.finder.gallery.names.index(first[1])
    assert second == [one["name"] for one in page.finder.matches(f"g{row}", 10, None, ())] and first[1] not in second
    assert tab.run("document.activeElement.id") == "query-heading"
    tab.run("history.back()")
    tab.wait(f"{HEADING} === {json.dumps(photo(place).name)} && {IDLE}")
    assert names(tab) == first
    tab.run("history.back()")
    tab.wait("!document.getElementById('start').hidden")
    assert tab.run("document.getElementById('found').hidden")


def test_the_camera_and_the_number_of_images_are_chosen(place: Place, page: Served, tab: Tab) -> None:
    searched(tab, photo(place))
    for value, wanted in (
        ("camera=1", {"cameras": [1]}),
        ("not-camera=1", {"without_cameras": [1]}),
        ("", {}),
    ):
        own = list(page.finder.gallery.search(photo(place), k=5, **wanted)["name"])  # type: ignore[arg-type]
        tab.run(
            f"""(() => {{ for (const [name, value] of [["camera", {json.dumps(value)}], ["k", "5"]]) {{
              const list = document.getElementById(name);
              list.value = value;
              list.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }} }})()"""
        )
        tab.wait(
            "JSON.stringify([...document.querySelectorAll('#matches a.picture')].map(one => one.title))"
            f" === {json.dumps(json.dumps(own, separators=(',', ':')))}"
        )


def test_two_photos_side_by_side(place: Place, page: Served, tab: Tab) -> None:
    searched(tab, photo(place))
    score = "document.getElementById('score').textContent"
    first = names(tab)[2]
    tab.run("document.querySelectorAll('#matches figcaption a')[2].click()")
    tab.wait(f"document.querySelector('#right h3')?.textContent.startsWith({json.dumps(first)}) && {LOADED} && {IDLE}")
    wanted = page.finder.gallery.search(photo(place), k=3)["score"].iloc[2]
    assert tab.run(score) == f"Cosine of their features: {wanted:.3f}"
    assert tab.run("document.querySelector('#left h3').textContent") == photo(place).name
    other = photo(place, 1)
    tab.choose("#file-second", other)
    tab.wait(f"document.querySelector('#right h3').textContent === {json.dumps(other.name)} && {LOADED} && {IDLE}")
    wanted = page.finder.model.compare(photo(place), other)["score"].item()
    assert tab.run(score) == f"Cosine of their features: {wanted:.3f}"
    assert tab.run(HEADING) == photo(place).name and tab.run(BROKEN) == 0
    assert tab.run("document.querySelectorAll('.pair img').length") == 2


def test_a_photo_can_be_dropped_and_what_is_no_file_is_told(place: Place, tab: Tab) -> None:
    data = list(photo(place).read_bytes())
    tab.run(
        f"""(() => {{ const load = new DataTransfer();
          load.items.add(new File([new Uint8Array({json.dumps(data)})], "dropped.jpg"));
          document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", {{ dataTransfer: load, bubbles: true, cancelable: true }})); }})()"""
    )
    tab.wait(f"{HEADING} === 'dropped.jpg' && {MATCHES} === 10")
    tab.run(
        """(() => { const load = new DataTransfer();
          load.setData("text/plain", "no file");
          document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", { dataTransfer: load, bubbles: true, cancelable: true })); })()"""
    )
    assert told(tab) == "That is no file; drop a JPEG or PNG image."


def test_files_that_cannot_be_used_are_told_in_words_and_lose_nothing(
    place: Place, page: Served, tab: Tab, tmp_path: Path
) -> None:
    searched(tab, photo(place))
    before = names(tab)
    for name, data, words in (
        ("bad.jpg", b"no image", "bad.jpg: not a JPEG or PNG image"),
        ("<b>cut.png", photo(place).read_bytes()[:900], "<b>cut.png: damaged image"),
        ("huge.jpg", b"x" * (LIMIT + 50_001), "huge.jpg: this file has 0.3 MB, more than the 0.2 MB that are taken"),
    ):
        (tmp_path / name).write_bytes(data)
        tab.choose("#file", tmp_path / name)
        tab.wait(f"{PROBLEM}.textContent.startsWith({json.dumps(name)})")
        assert words in told(tab)
        assert names(tab) == before and tab.run(HEADING) == photo(place).name
    tab.run("document.body.dataset.limit = 1e9")  # what a page that does not know the limit would send
    tab.choose("#file", tmp_path / "huge.jpg")
    tab.wait(f"{PROBLEM}.textContent.includes('larger than 0.2 MB')")
    searched(tab, photo(place, 1))
    assert tab.run(f"{PROBLEM}.hidden")
    refused = [one for one in tab.faults if "status of 4" not in one]  # the browser logs every refused request
    assert refused == [] and len(tab.faults) == 3
    tab.faults.clear()


def test_twenty_searches_at_once_from_a_page(place: Place, page: Served, tab: Tab) -> None:
    names_ = place.toy.dataset.names()[:20]
    data = [list(place.path(name).read_bytes()) for name in names_]
    found = tab.run(
        f"""Promise.all({json.dumps(data)}.map(async bytes => {{
          const made = await (await fetch("/photos", {{ method: "POST", body: new Uint8Array(bytes) }})).json();
          const found = await (await fetch(`/photos/${{made.key}}/matches?k=3`)).json();
          return found.map(one => one.name);
        }}))"""
    )
    for name, best in zip(names_, found, strict=True):
        assert best == list(page.finder.gallery.search(place.path(name), k=3)["name"])
