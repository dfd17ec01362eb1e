"""The search page in a browser, from the first look to the server's end: files, clicks, keys, phones and faults."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from api_place import Place, make_place, small_networks
from chromium import needs_browser
from devtools import Tab, browser
from PIL import Image
from serve_place import LIMIT, Served, gallery_of, served
from test_report_browser import READABLE, luminance

from vehicle_reid import Gallery
from vehicle_reid.search import ExactSearch

pytestmark = needs_browser
PHONE = 360  # CSS pixels
LOADED = "[...document.images].every(image => image.complete)"
BROKEN = "[...document.images].filter(image => image.checkVisibility() && !image.naturalWidth).length"
MATCHES = "document.querySelectorAll('#matches li').length"
HEADING = "document.getElementById('query-heading').textContent"
PROBLEM = "document.getElementById('problem')"
IDLE = "document.getElementById('doing').textContent === ''"
FOCUS = """
    [...document.querySelectorAll('a, button, input, select, summary')].filter(one => one.checkVisibility())
    .map(one => {
      one.focus({ focusVisible: true });
      const shown = one.type === 'file' ? one.parentElement : one, style = getComputedStyle(shown);
      const name = one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText;
      return [one.outerHTML.slice(0, 99), document.activeElement === one, one.tabIndex, style.outlineStyle,
              parseFloat(style.outlineWidth), (name || '').trim().length];
    })"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def gallery(place: Place) -> Gallery:
    return gallery_of(place)


@pytest.fixture(scope="module")
def page(place: Place, gallery: Gallery) -> Iterator[Served]:
    with served(gallery, place.root) as found:
        yield found


@pytest.fixture(scope="module")
def window() -> Iterator[Tab]:
    with browser() as tab:
        yield tab


@pytest.fixture
def tab(window: Tab, page: Served) -> Iterator[Tab]:
    """The page as it opens, in a wide window; when the test ends it has complained of nothing."""
    window.faults.clear()
    window.window(1200, 900)
    window.open("about:blank")
    window.open(page.url)
    window.wait("document.querySelectorAll('#first li').length === 10")
    yield window
    assert window.faults == []


def photo(place: Place, number: int = 0) -> Path:
    """A photo that is not in the gallery."""
    table = place.toy.dataset.table
    return place.path(sorted(table["name"][table["split"] == "query"])[number])


def searched(tab: Tab, path: Path, matches: int = 10) -> None:
    """Choose a file, and wait for what it finds."""
    tab.choose("#file", path)
    tab.wait(f"{HEADING} === {json.dumps(path.name)} && {MATCHES} === {matches} && {IDLE} && {LOADED}")


def names(tab: Tab) -> list[str]:
    return [str(name) for name in tab.run("[...document.querySelectorAll('#matches a.picture')].map(one => one.title)")]


def told(tab: Tab) -> str:
    """What the page tells as a problem, when it does."""
    tab.wait(f"!{PROBLEM}.hidden && {PROBLEM}.textContent")
    return str(tab.run(f"{PROBLEM}.textContent"))


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


def test_a_keyboard_is_enough(place: Place, page: Served, tab: Tab) -> None:
    focused = "document.activeElement"
    tab.press("Tab")
    assert tab.run(f"{focused}.id") == "file"
    assert tab.run("getComputedStyle(document.getElementById('drop')).outlineStyle") == "solid"
    tab.press("Tab")
    assert tab.run(f"{focused}.className") == "pick"
    tab.press("Enter")
    tab.wait("document.getElementById('picker').open && document.querySelectorAll('#gallery li').length === 12")
    assert tab.run(f"{focused}.id") == "words"
    tab("Input.insertText", text="11-2")
    tab.wait("document.querySelectorAll('#gallery li').length === 1")
    tab.press("Tab", 2)  # over the camera
    tab.wait(f"{focused}.tagName === 'A'")
    tab.press("Enter")
    tab.wait(f"{HEADING}.startsWith('images/11-2.jpg') && {MATCHES} === 10 && {IDLE}")
    assert not tab.run("document.getElementById('picker').open") and tab.run(f"{focused}.id") == "query-heading"
    best = names(tab)[0]
    for _ in range(20):
        tab.press("Tab")
        if tab.run(f"{focused}.closest('#matches') !== null"):
            break
    assert tab.run(f"{focused}.title") == best
    tab.press("Enter")
    tab.wait(f"{HEADING}.startsWith({json.dumps(best)}) && {IDLE}")
    tab.run("document.querySelectorAll('.pick')[1].focus()")
    tab.press("Enter")
    tab.wait("document.getElementById('picker').open")
    tab.press("Escape")
    tab.wait("!document.getElementById('picker').open")
    assert tab.run(HEADING).startswith(best)


def test_whatever_takes_the_focus_shows_it_and_has_a_name(place: Place, tab: Tab) -> None:
    searched(tab, photo(place))
    found = tab.run(FOCUS)
    assert len(found) > 30
    for what, focused, index, style, width, name in found:
        assert focused and index == 0 and style != "none" and width >= 2 and name > 0, what


def test_text_can_be_read_and_a_phone_scrolls_nothing_sideways(place: Place, tab: Tab) -> None:
    searched(tab, photo(place))
    tab.run("document.querySelectorAll('#matches figcaption a')[0].click()")
    tab.wait(f"document.querySelector('#right table, #right .quiet') && {LOADED} && {IDLE}")
    script = """
        [matchMedia("(prefers-color-scheme: dark)").matches, getComputedStyle(document.body).backgroundColor,
         ["body", ".quiet", "figcaption", "figcaption a", "thead th", ".filters label", ".place"].map(one =>
           getComputedStyle(document.querySelector(one)).color)]"""
    for dark in (False, True):
        tab.window(PHONE, 740, phone=True, dark=dark)
        is_dark, ground, inks = tab.run(script)
        assert is_dark == dark and (luminance(ground) < 0.1) == dark
        for ink in inks:
            bright, dim = sorted((luminance(ink), luminance(ground)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= READABLE, ink
    widths = tab.run("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [PHONE, PHONE]
    wide = "[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    assert tab.run(f"{wide}.map(one => one.outerHTML.slice(0, 99))") == []
    tab.run("document.querySelector('.pick').click()")
    tab.wait(f"document.querySelectorAll('#gallery li').length === 12 && {LOADED}")
    assert tab.run("document.getElementById('picker').scrollWidth <= document.getElementById('picker').clientWidth")
    assert tab.run("document.documentElement.scrollWidth") == PHONE


def test_names_are_text_and_pictures_that_are_gone_are_told(
    place: Place, gallery: Gallery, window: Tab, tmp_path: Path
) -> None:
    evil = "<img src=x onerror=document.title='run'>.jpg"
    entries = gallery.entries.take(np.arange(3))
    named = replace(entries, names=(evil, "gone.jpg", "cut.jpg"))
    Image.new("RGB", (96, 72)).save(tmp_path / evil)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / evil).read_bytes()[:-120])
    window.faults.clear()
    with served(Gallery(gallery.model, named, ExactSearch(named.features)), tmp_path) as page:
        window.open(f"{page.url}#q=g0")
        window.wait(f"{MATCHES} === 2 && {LOADED} && document.querySelectorAll('#matches .missing').length === 2")
        assert window.run(HEADING).startswith(evil) and window.run("document.title").startswith(evil)
        missing = window.run("[...document.querySelectorAll('#matches .missing')].map(one => one.textContent)")
        assert any("gone.jpg: no such file" in one for one in missing)
        assert any("cut.jpg: damaged image" in one for one in missing)
        for key, words in (
            ("..%2F..%2Fetc", "there is nothing at this address"),
            ("g3", "no such photo in this gallery"),
        ):
            window.open("about:blank")
            window.open(f"{page.url}#q={key}")
            assert words in told(window)
            assert not window.run("document.getElementById('start').hidden")
    assert [one for one in window.faults if "status of 4" not in one] == []


def test_a_server_that_has_ended_is_told(place: Place, gallery: Gallery, window: Tab) -> None:
    with served(gallery, place.root) as page:
        window.open(f"{page.url}#q=g0")
        window.wait(f"{MATCHES} === 10 && {IDLE}")
    window.run("document.querySelectorAll('#matches a.picture')[0].click()")
    assert "The server does not answer; is `python cli.py serve` still running?" in told(window)


def test_a_fault_of_the_page_would_be_seen(page: Served, window: Tab) -> None:
    window.faults.clear()
    window.open("about:blank")
    window.open(page.url)
    window.run("setTimeout(() => nothing.there())")
    window.run("document.body.append(Object.assign(new Image(), { src: 'http://a.b/c.png' }))")
    window.run("new Promise(done => setTimeout(done, 50))")
    seen: Any = str(window.faults)
    assert "nothing is not defined" in seen and "http://a.b" in seen
