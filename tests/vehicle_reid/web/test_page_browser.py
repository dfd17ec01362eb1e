"""The search page in a browser: files, clicks, cameras, comparison, and unusable files."""

import json
from pathlib import Path

import pytest

from helpers.browser.devtools import Tab, needs_browser
from helpers.browser.window import (
    BROKEN,
    HEADING,
    IDLE,
    LOADED,
    MATCHES,
    PROBLEM,
    SHOWN_RESULTS,
    choose_option,
    hold_requests,
    match_names,
    problem_of,
    query_photo,
    release_requests,
    search_with,
)
from helpers.places.api import ToyRun
from helpers.places.serve import UPLOAD_LIMIT, ServedPage, calibrate
from vehicle_reid import Gallery

pytestmark = needs_browser


def drop(tab: Tab, fill: str) -> None:
    """Drop something on the upload area; `fill` is a script that adds it to the DataTransfer `load`."""
    tab.run(
        f"""(() => {{ const load = new DataTransfer();
          {fill};
          document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", {{ dataTransfer: load, bubbles: true, cancelable: true }})); }})()"""
    )


def test_a_file_is_searched_with_and_its_parts_and_matches_are_shown(
    toy_run: ToyRun, gallery: Gallery, tab: Tab
) -> None:
    path = query_photo(toy_run)
    search_with(tab, path)
    matches, embedded = gallery.search(path, k=10), gallery.model.embed(path).iloc[0]
    assert match_names(tab) == list(matches["name"])
    captions = tab.run("[...document.querySelectorAll('#matches figcaption')].map(one => one.innerText)")
    for caption, match in zip(captions, matches.to_dict("records"), strict=True):
        for words in (f"{match['rank']}.", f"{match['score']:.3f}", f"camera {match['camera']}", "compare"):
            assert words in caption
    rows = tab.run("[...document.querySelectorAll('#query-view tbody tr')].map(one => one.innerText)")
    weights = sorted(embedded["attention"].tolist(), reverse=True)
    assert weights
    for row, weight in zip(rows, weights, strict=True):
        assert f"{100 * weight:.1f} %" in row
    boxes = tab.run("[...document.querySelectorAll('#query-view svg g .over')].map(one => one.x.baseVal.value)")
    assert sorted(boxes) == pytest.approx(sorted(embedded["boxes"][:, 0].tolist()))
    assert tab.run(BROKEN) == 0 and tab.run("document.getElementById('start').hidden")


@pytest.mark.parametrize("accepted", [True, False])
def test_the_page_says_whether_the_first_match_is_accepted(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    path = query_photo(toy_run)
    search_with(tab, path)
    assert tab.run("document.getElementById('decision').hidden")
    calibrate(gallery, monkeypatch, accepted=accepted)
    choose_option(tab, "k", "5")
    tab.wait(f"{MATCHES} === 5 && {IDLE}")
    text = tab.run("document.getElementById('decision').innerText")
    assert f"{gallery.search(path, 1)['confidence'][0]:.3f}" in text
    assert ("is accepted as this vehicle" if accepted else "probably not in the gallery") in text
    choose_option(tab, "camera", "camera=1")
    tab.wait(f"location.search === '?k=5&camera=1' && {IDLE}")
    text = tab.run("document.getElementById('decision').innerText")
    assert ("is accepted" if accepted else "probably not among the images that meet the filters") in text
    choose_option(tab, "camera", "not-camera=own")  # that of an upload is not known: no image is left out
    tab.wait(f"location.search === '?k=5&not-camera=own' && {IDLE}")
    text = tab.run("document.getElementById('decision').innerText")
    assert ("is accepted" if accepted else "probably not in the gallery") in text


def test_views_and_boxes_can_be_chosen(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    for view in ("with-parts", "added", "response", "photo"):
        choose_option(tab, "view", view)
        file = tab.wait(f"{LOADED} && document.querySelector('#query-view img').src.split('/').pop()")
        assert file == f"{view}.jpg" and tab.run(BROKEN) == 0
    best = tab.run("document.querySelector('#matches a.picture').hash.replace('#q=', '')")
    choose_option(tab, "view", "covered")
    file = tab.wait(f"{LOADED} && document.querySelector('#query-view img').src.split('/').pop()")
    assert file == f"covered.jpg?with={best}" and tab.run(BROKEN) == 0
    for symbol in ("Fg", "Fp"):
        assert symbol not in tab.run("document.body.textContent")
    choose_option(tab, "view", "photo")
    tab.run("document.getElementById('boxes').click()")
    assert tab.run("document.querySelectorAll('main svg').length") == 0
    tab.run("document.getElementById('boxes').click()")
    assert tab.run("document.querySelectorAll('#matches svg').length") > 0


def test_a_click_searches_with_a_match_and_back_returns(toy_run: ToyRun, page: ServedPage, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    first = match_names(tab)
    tab.run("document.querySelectorAll('#matches a.picture')[1].click()")
    tab.wait(f"{HEADING}.startsWith({json.dumps(first[1])}) && {IDLE} && {LOADED}")
    row = page.finder.gallery.names.index(first[1])
    assert match_names(tab) == [match["name"] for match in page.search(f"g{row}")["matches"]]
    assert tab.run("document.activeElement.id") == "results-heading"
    tab.run("history.back()")
    tab.wait(f"{HEADING} === {json.dumps(query_photo(toy_run).name)} && {IDLE}")
    assert match_names(tab) == first
    tab.run("history.back()")
    tab.wait("!document.getElementById('start').hidden")
    assert tab.run("document.getElementById('search').hidden")


def test_the_camera_and_the_number_of_matches_can_be_chosen(toy_run: ToyRun, gallery: Gallery, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    for value, arguments in (
        ("camera=1", {"cameras": [1]}),
        ("not-camera=1", {"without_cameras": [1]}),
        ("", {}),
    ):
        wanted = list(gallery.search(query_photo(toy_run), k=5, **arguments)["name"])  # type: ignore[arg-type]
        choose_option(tab, "camera", value)
        choose_option(tab, "k", "5")
        tab.wait(
            "JSON.stringify([...document.querySelectorAll('#matches a.picture')].map(one => one.title))"
            f" === {json.dumps(json.dumps(wanted, separators=(',', ':')))}"
        )


def test_two_photos_are_compared_side_by_side(toy_run: ToyRun, gallery: Gallery, tab: Tab) -> None:
    path, other = query_photo(toy_run), query_photo(toy_run, 1)
    score = "document.getElementById('score').textContent"
    search_with(tab, path)
    third = match_names(tab)[2]
    tab.run("document.querySelectorAll('#matches figcaption a')[2].click()")
    tab.wait(f"document.querySelector('#right h3')?.textContent.startsWith({json.dumps(third)}) && {LOADED} && {IDLE}")
    assert tab.run(score) == f"Cosine similarity: {gallery.search(path, k=3)['score'].iloc[2]:.3f} ✓ same✗ another"
    assert tab.run("document.querySelector('#left h3').textContent") == path.name
    tab.choose("#file-second", other)
    tab.wait(f"document.querySelector('#right h3').textContent === {json.dumps(other.name)} && {LOADED} && {IDLE}")
    assert tab.run(score) == f"Cosine similarity: {gallery.model.compare(path, other)['score'].item():.3f} "
    assert tab.run(HEADING) == path.name and tab.run(BROKEN) == 0
    assert tab.run("document.querySelectorAll('.pair img').length") == 2


def test_a_dropped_photo_is_searched_with_and_dropped_text_is_refused(toy_run: ToyRun, tab: Tab) -> None:
    data = json.dumps(list(query_photo(toy_run).read_bytes()))
    drop(tab, f'load.items.add(new File([new Uint8Array({data})], "dropped.jpg"))')
    tab.wait(f"{HEADING} === 'dropped.jpg' && {MATCHES} === 10")
    drop(tab, 'load.setData("text/plain", "no file")')
    assert problem_of(tab) == "This is not a file; drop photos or a folder."


def test_unusable_files_are_reported_without_the_results_before_them(toy_run: ToyRun, tab: Tab, tmp_path: Path) -> None:
    path = query_photo(toy_run)
    search_with(tab, path)
    before = match_names(tab)
    for name, data, words in (
        ("bad.jpg", b"no image", "bad.jpg: not a JPEG, PNG, WebP or BMP image"),
        ("<b>cut.png", path.read_bytes()[:900], "<b>cut.png: damaged image"),
        ("over.jpg", b"x" * (UPLOAD_LIMIT + 1), "over.jpg: this file has 0.200001 MB, the limit is 0.2 MB"),
        ("huge.jpg", b"x" * (UPLOAD_LIMIT + 50_001), "huge.jpg: this file has 0.3 MB, the limit is 0.2 MB"),
    ):
        (tmp_path / name).write_bytes(data)
        tab.choose("#file", tmp_path / name)
        tab.wait(f"{PROBLEM}.textContent.startsWith({json.dumps(name)})")
        assert words in problem_of(tab)
        assert not tab.run(SHOWN_RESULTS) and not tab.run("document.getElementById('start').hidden")
    tab.run("history.back()")  # to the results
    tab.wait(f"{HEADING} === {json.dumps(path.name)} && {SHOWN_RESULTS} && {PROBLEM}.hidden && {IDLE}")
    assert match_names(tab) == before
    tab.run("document.body.dataset.limit = 1e9")  # as if the page did not check the limit
    tab.choose("#file", tmp_path / "huge.jpg")
    tab.wait(f"{PROBLEM}.textContent.includes('larger than 0.2 MB')")
    search_with(tab, query_photo(toy_run, 1))
    assert tab.run(f"{PROBLEM}.hidden")
    assert len(tab.faults) == 3 and all("status of 4" in fault for fault in tab.faults)  # the refused requests
    tab.faults.clear()


def go_elsewhere(tab: Tab) -> str:
    """Open the first match, or the first image of the start page, while an upload is held, and then send that.

    Return its name, when the server has answered everything: it reads one photo at a time.
    """
    tab.wait("held.length === 1")
    selector = "#matches a.picture" if tab.run(SHOWN_RESULTS) else "#first a.picture"
    name = tab.run(f"document.querySelector('{selector}').title")
    tab.run(f"document.querySelector('{selector}').click()")
    tab.wait(f"{HEADING}.startsWith({json.dumps(name)}) && {MATCHES} === 10 && {IDLE}")
    release_requests(tab)
    choose_option(tab, "k", "5")
    tab.wait(f"{MATCHES} === 5 && {IDLE} && {LOADED}")
    return str(name)


@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize("second", [False, True])
def test_a_late_upload_does_not_override_where_the_user_has_gone(
    toy_run: ToyRun, tab: Tab, tmp_path: Path, usable: bool, second: bool
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    late = query_photo(toy_run, 1) if usable else tmp_path / "bad.jpg"
    if second:
        search_with(tab, query_photo(toy_run))
    hold_requests(tab, "/photos?")
    tab.choose("#file-second" if second else "#file", late)
    name = go_elsewhere(tab)
    assert tab.run(HEADING).startswith(name) and "c=" not in tab.run("location.hash")
    assert tab.run(f"{PROBLEM}.hidden && document.getElementById('compare-problem').hidden")


def test_a_late_rectangle_does_not_override_where_the_user_has_gone(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run("document.getElementById('choose-vehicle').click()")
    tab.wait(f"document.getElementById('frame').open && {LOADED}")
    tab.drag("#frame-picture", (0.0, 0.0), (0.5, 0.9))
    hold_requests(tab, "/photos?")
    tab.run("document.getElementById('frame-search').click()")
    tab.press("Escape")
    name = go_elsewhere(tab)
    assert tab.run(HEADING).startswith(name) and not tab.run("document.getElementById('frame').open")


def test_of_two_uploads_the_later_one_is_opened(toy_run: ToyRun, tab: Tab) -> None:
    first, second = query_photo(toy_run), query_photo(toy_run, 1)
    status = "document.getElementById('status').textContent"
    hold_requests(tab, "/photos?")
    tab.choose("#file", first)
    tab.wait(f"held.length === 1 && {status} === 'Processing {first.name}…'")
    tab.choose("#file", second)
    tab.wait("held.length === 2")
    assert tab.run(status) == f"Processing {second.name}…"  # which the end of the first does not erase
    release_requests(tab)
    tab.wait(f"{HEADING} === {json.dumps(second.name)} && {MATCHES} === 10 && {IDLE} && {LOADED}")
    tab.run("history.back()")
    tab.wait("!document.getElementById('start').hidden")  # the first one was never opened


def test_a_search_that_is_given_up_leaves_the_matches_before_it(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    before = match_names(tab)
    hold_requests(tab, "/v1/search")
    choose_option(tab, "camera", "camera=1")
    choose_option(tab, "camera", "")  # as it was
    tab.wait("held.length === 2")
    tab.run("document.querySelectorAll('#matches figcaption a')[0].click()")  # compare
    tab.wait(f"document.querySelector('#right h3') && {IDLE} && {LOADED}")
    assert match_names(tab) == before and tab.run("document.getElementById('count').textContent") == ""
    release_requests(tab)
    choose_option(tab, "k", "5")
    tab.wait(f"{MATCHES} === 5 && {IDLE}")
    assert match_names(tab) == before[:5]


def test_a_failed_comparison_is_told_where_the_comparison_was(toy_run: ToyRun, tab: Tab, tmp_path: Path) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run("document.querySelectorAll('#matches figcaption a')[0].click()")
    tab.wait(f"document.querySelector('#right h3') && {LOADED} && {IDLE}")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    tab.choose("#file-second", tmp_path / "bad.jpg")
    tab.wait("document.getElementById('compare-problem').textContent.startsWith('bad.jpg: not a JPEG')")
    assert not tab.run("document.getElementById('right').checkVisibility()") and tab.run(f"{PROBLEM}.hidden")
    assert tab.run(SHOWN_RESULTS)  # they are those of the photo, which is still there
    assert len(tab.faults) == 1 and "status of 422" in tab.faults.pop()


def test_a_failed_change_of_the_filter_leaves_no_matches_of_the_old_one(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run("document.querySelector('#k option').value = '0'")
    choose_option(tab, "k", "0")
    assert "k: Input should be greater than or equal to 1" in problem_of(tab)
    count = "document.getElementById('count').textContent"
    assert tab.run(MATCHES) == 0 and tab.run(count) == ""
    tab.run("document.getElementById('boxes').click()")  # which shows the matches again
    assert tab.run(count) == ""
    choose_option(tab, "k", "20")
    tab.wait(f"{MATCHES} > 0 && {PROBLEM}.hidden")
    assert len(tab.faults) == 1 and "status of 422" in tab.faults.pop()


def test_the_title_leads_home(toy_run: ToyRun, tab: Tab, tmp_path: Path) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run("document.getElementById('home').click()")
    tab.wait(f"!document.getElementById('start').hidden && !({SHOWN_RESULTS}) && location.hash === ''")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    tab.choose("#file", tmp_path / "bad.jpg")
    assert "bad.jpg" in problem_of(tab)
    tab.run("document.getElementById('home').click()")
    tab.wait(f"{PROBLEM}.hidden")
    tab.faults.clear()
