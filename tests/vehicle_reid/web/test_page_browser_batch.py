"""The search page in a browser: batches of photos, marks, downloads, and rectangles."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_cache.images.loading import load_image
from helpers.browser.devtools import Tab, needs_browser
from helpers.browser.window import (
    BROKEN,
    HEADING,
    IDLE,
    LOADED,
    MATCHES,
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
from helpers.places.serve import ServedPage, gallery_with, served
from vehicle_reid import Gallery
from vehicle_reid.web import photos

pytestmark = needs_browser
ROWS = "[...document.querySelectorAll('#batch-rows tr')].map(row => [...row.cells].map(cell => cell.innerText))"
FINISHED = "document.getElementById('batch-stop').hidden && !document.getElementById('batch').hidden"


@pytest.fixture(autouse=True)
def no_marks(tab: Tab) -> Iterator[None]:
    """Forget the marks of a test."""
    yield
    tab.run("localStorage.clear()")


def click(tab: Tab, name: str) -> None:
    tab.run(f"document.getElementById({json.dumps(name)}).click()")


def read_csv(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff") and text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text[1:])))


def batch_of(run: ToyRun, folder: Path) -> Path:
    """Return a folder with two photos, one of them in a folder below, a damaged one and files of other kinds."""
    (folder / "day, one").mkdir(parents=True)
    shutil.copy(query_photo(run), folder / "a.jpg")
    shutil.copy(query_photo(run, 1), folder / "day, one" / "b.JPG")
    (folder / "cut.png").write_bytes(query_photo(run).read_bytes()[:900])
    for name in ("list.csv", ".a.jpg"):
        (folder / name).write_bytes(b"a,b")
    return folder


def test_every_file_of_a_dropped_folder_has_a_row_with_its_result_or_the_reason(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, tmp_path: Path
) -> None:
    folder = batch_of(toy_run, tmp_path / "shots")
    tab.drop("#drop", folder)
    tab.wait(f"{FINISHED} && document.querySelectorAll('#batch-rows tr').length === 5")
    first, second = (gallery.search(query_photo(toy_run, number), k=10) for number in (0, 1))
    best = [(one["name"][0], f"{one['score'][0]:.3f}") for one in (first, second)]
    rows = {row[0]: row[1:] for row in tab.run(ROWS)}
    assert rows == {
        "shots/.a.jpg": ["left out", "passed over: not an image by its name"],
        "shots/a.jpg": ["done", *best[0]],
        "shots/cut.png": ["failed", rows["shots/cut.png"][1]],
        "shots/day, one/b.JPG": ["done", *best[1]],
        "shots/list.csv": ["left out", "passed over: not an image by its name"],
    }
    assert rows["shots/cut.png"][1].startswith("damaged image")
    assert tab.run("document.getElementById('batch-count').textContent") == "5 photos: 2 left out, 2 done, 1 failed"
    saved = read_csv(tab.downloaded("document.getElementById('batch-csv').click()", "batch.csv", tmp_path))
    assert "filter" not in saved[0]  # there was none
    wanted = [("shots/a.jpg", name) for name in first["name"]] + [("shots/day, one/b.JPG", n) for n in second["name"]]
    assert [(row["query"], row["candidate"]) for row in saved if row["candidate"]] == wanted
    assert {row["query"]: row["problem"] for row in saved if row["problem"]} == {
        name: text[1] for name, text in rows.items() if text[0] != "done"
    }
    tab.run("document.querySelectorAll('#batch-rows a')[1].click()")
    tab.wait(f"{HEADING} === 'shots/day, one/b.JPG' && {MATCHES} === 10 && {IDLE} && {LOADED}")
    assert match_names(tab) == list(second["name"]) and not tab.run("document.getElementById('batch-details').open")
    assert tab.run("document.getElementById('batch-place').textContent") == "2 of 2"
    click(tab, "batch-previous")
    tab.wait(f"{HEADING} === 'shots/a.jpg' && {IDLE} && {LOADED}")
    assert tab.run("document.getElementById('batch-previous').hasAttribute('href')") is False
    assert len(tab.faults) == 1 and "status of 422" in tab.faults.pop()


def test_the_way_through_a_batch_ends_though_a_file_is_there_twice(toy_run: ToyRun, tab: Tab, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name, number in (("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 0)):
        shutil.copy(query_photo(toy_run, number), folder / name)
    tab.drop("#drop", folder)
    tab.wait(f"{FINISHED} && document.querySelectorAll('#batch-rows tr').length === 3")
    tab.run("document.querySelectorAll('#batch-rows a')[1].click()")
    tab.wait(f"{HEADING} === 'twice/b.jpg' && {IDLE} && {LOADED}")
    assert tab.run("document.getElementById('batch-place').textContent") == "2 of 2"
    assert tab.run("document.getElementById('batch-next').hasAttribute('href')") is False
    k = "document.getElementById('k')"
    tab.run(f"{k}.value = [...{k}.options].map(one => one.value).find(one => one !== '10')")
    tab.run(f"{k}.dispatchEvent(new Event('change', {{ bubbles: true }}))")
    tab.wait(f"{IDLE} && {LOADED}")
    saved = json.loads(tab.downloaded("document.getElementById('batch-json').click()", "batch.json", tmp_path))
    assert [query["filter"] for query in saved["queries"]] == ["k=10"] * 3  # by which they were searched


def test_the_place_in_a_batch_follows_its_rows(toy_run: ToyRun, tab: Tab) -> None:
    paths, place = toy_run.photos()[:3], "document.getElementById('batch-place').textContent"
    hold_requests(tab, f"name={paths[1].name}")
    tab.choose("#file", *paths)
    tab.wait("document.querySelector('#batch-rows a') && held.length === 1")
    tab.run("document.querySelector('#batch-rows a').click()")
    tab.wait(f"{HEADING} === {json.dumps(paths[0].name)} && {MATCHES} === 10 && {IDLE} && {place} === '1 of 1'")
    assert not tab.run("document.getElementById('batch-next').hasAttribute('href')")
    release_requests(tab)
    tab.wait(f"{FINISHED} && {place} === '1 of 3'")
    click(tab, "batch-next")
    tab.wait(f"{HEADING} === {json.dumps(paths[1].name)} && {IDLE} && {place} === '2 of 3'")
    click(tab, "batch-clear")
    assert tab.run("document.getElementById('batch-nav').hidden")
    assert tab.run(HEADING) == paths[1].name and tab.run(MATCHES) == 10  # what is shown stays


def test_a_batch_survives_the_servers_memory_and_a_stopped_server(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = toy_run.photos()[:5]
    with served(gallery, toy_run.root) as page:
        monkeypatch.setattr(photos, "KEPT_UPLOADS", 2)
        tab.open(page.url)
        tab.choose("#file", *paths)
        tab.wait(f"{FINISHED} && document.querySelectorAll('#batch-rows [data-state=done]').length === 0 || {FINISHED}")
        assert [row[1] for row in tab.run(ROWS)] == ["done"] * 5
        for number in (0, 4, 1):  # the first ones are no longer kept by the server: the page sends them again
            click(tab, "home")
            tab.run(f"document.querySelectorAll('#batch-rows a')[{number}].click()")
            tab.wait(f"{HEADING} === {json.dumps(paths[number].name)} && {IDLE} && {LOADED}")
            assert match_names(tab) == list(gallery.search(paths[number], k=10)["name"]) and tab.run(BROKEN) == 0
    click(tab, "home")
    tab.choose("#file", *toy_run.photos()[5:8])
    tab.wait(FINISHED)
    rows = tab.run(ROWS)
    assert [row[1] for row in rows] == ["done"] * 5 + ["failed", "stopped", "stopped"]
    assert "is not responding" in rows[5][2]
    tab.faults.clear()


def test_photos_of_a_batch_are_searched_with_the_filters_of_the_moment_when_they_were_added(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, tmp_path: Path
) -> None:
    paths = toy_run.photos()[:4]
    choose_option(tab, "camera", "camera=1")
    hold_requests(tab, "/photos?")
    tab.choose("#file", *paths[:2])
    tab.wait("document.querySelectorAll('#batch-rows tr').length === 2")
    choose_option(tab, "camera", "")
    choose_option(tab, "k", "5")
    tab.choose("#file", *paths[2:])
    tab.wait("document.querySelectorAll('#batch-rows tr').length === 4")
    choose_option(tab, "k", "20")
    release_requests(tab)
    tab.wait(f"{FINISHED} && document.querySelectorAll('#batch-rows [data-state=done]').length === 4")
    wanted = [
        *[("k=10&camera=1", list(gallery.search(path, k=10, cameras=[1])["name"])) for path in paths[:2]],
        *[("k=5", list(gallery.search(path, k=5)["name"])) for path in paths[2:]],
    ]
    saved = json.loads(tab.downloaded("document.getElementById('batch-json').click()", "batch.json", tmp_path))
    found = [(query["filter"], [match["candidate"] for match in query["matches"]]) for query in saved["queries"]]
    assert found == wanted
    rows = read_csv(tab.downloaded("document.getElementById('batch-csv').click()", "batch.csv", tmp_path))
    expected = [(one, name) for one, names in wanted for name in names]
    assert [(row["filter"], row["candidate"]) for row in rows] == expected


def test_an_upload_is_sent_again_for_the_picture_of_another_photo(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "KEPT_UPLOADS", 1)
    with served(gallery, toy_run.root) as page:
        tab.open(f"{page.url}#q=g0")
        tab.wait(f"{MATCHES} === 10 && {IDLE}")
        tab.choose("#file-second", query_photo(toy_run))
        tab.wait(f"document.querySelector('#right h3') && {IDLE} && {LOADED}")
        page.upload(query_photo(toy_run, 1).read_bytes())  # which drops the other one
        choose_option(tab, "view", "covered")
        drawn = "one.src.includes('covered') && one.complete && one.naturalWidth"
        tab.wait(f"[...document.querySelectorAll('.pair img')].filter(one => {drawn}).length === 2")
    assert tab.faults and all("status of 404" in fault for fault in tab.faults)
    tab.faults.clear()


def test_a_stopped_batch_goes_on(toy_run: ToyRun, tab: Tab) -> None:
    tab.choose("#file", *toy_run.photos()[:4])
    tab.wait("document.querySelectorAll('#batch-rows tr').length === 4")
    click(tab, "batch-stop")
    tab.wait(FINISHED)
    states = [row[1] for row in tab.run(ROWS)]
    assert set(states) <= {"done", "stopped"} and "stopped" in states
    saved = "(await import('/page/batch.js')).batchResults().map(one => one.problem ?? one.matches.length)"
    assert tab.run(f"(async () => {saved})()") == [10 if one == "done" else "not searched: stopped" for one in states]
    click(tab, "batch-retry")
    tab.wait(f"{FINISHED} && document.querySelectorAll('#batch-rows [data-state=done]').length === 4")
    click(tab, "batch-clear")
    tab.wait("document.getElementById('batch').hidden")


def test_results_can_be_downloaded(toy_run: ToyRun, gallery: Gallery, tab: Tab, tmp_path: Path) -> None:
    path = query_photo(toy_run)
    search_with(tab, path)
    choose_option(tab, "camera", "camera=1")
    matches = gallery.search(path, k=10, cameras=[1])
    tab.wait(f"{MATCHES} === {len(matches)} && {IDLE}")
    tab.run("document.querySelectorAll('#matches button[data-mark=another]')[1].click()")
    rows = read_csv(tab.downloaded("document.getElementById('matches-csv').click()", "matches.csv", tmp_path))
    assert list(rows[0]) == [
        "query",
        "rank",
        "candidate",
        "score",
        "confidence",
        "accepted",
        "camera",
        "mark",
        "problem",
        "vehicle",
        "time",
    ]
    assert [row["candidate"] for row in rows] == list(matches["name"])
    assert [row["rank"] for row in rows] == [str(rank) for rank in matches["rank"]]
    assert [float(row["score"]) for row in rows] == pytest.approx(list(matches["score"]), abs=1e-6)
    assert {(row["query"], row["camera"], row["problem"]) for row in rows} == {(path.name, "1", "")}
    assert [row["mark"] for row in rows] == ["", "another", *[""] * (len(rows) - 2)]
    saved = json.loads(tab.downloaded("document.getElementById('matches-json').click()", "matches.json", tmp_path))
    (query,) = saved["queries"]
    assert (saved["run"], query["filter"]) == ("folder/tiny", "k=10&camera=1")
    assert (query["query"], query["box"], query["problem"]) == (path.name, None, None)
    assert [match["candidate"] for match in query["matches"]] == list(matches["name"])
    parts = [sorted(part["name"] for part in match["parts"]) for match in query["matches"]]
    assert parts == [sorted(names) for names in matches["parts"]] and any(parts)


def test_text_is_no_formula_in_a_downloaded_csv(toy_run: ToyRun, gallery: Gallery, window: Tab, tmp_path: Path) -> None:
    texts = ["=1+1", "+7", "-8", '@sum,"ü"', "7-8", "ü=1", "'=1"]
    count = len(texts)
    lanes = pd.DataFrame({"lane": texts})
    entries = replace(gallery.entries.take(np.arange(count)), names=tuple(f"={i}.jpg" for i in range(count)))
    path = tmp_path / "-query.jpg"
    shutil.copy(query_photo(toy_run), path)
    window.faults.clear()
    with served(gallery_with(gallery, replace(entries, details=lanes)), tmp_path) as page:
        window.open(page.url)
        search_with(window, path, count)
        saved = window.downloaded("document.getElementById('matches-csv').click()", "matches.csv", tmp_path)
        rows = sorted(read_csv(saved), key=lambda row: row["candidate"])
        text = window.downloaded("document.getElementById('matches-json').click()", "matches.json", tmp_path)
        matches = sorted(json.loads(text)["queries"][0]["matches"], key=lambda match: match["candidate"])
    assert [match["details"]["lane"] for match in matches] == texts  # JSON has no formulas
    assert [row["details.lane"] for row in rows] == [f"'{text}" for text in texts[:4]] + texts[4:]
    assert {(row["query"], row["candidate"][:2]) for row in rows} == {("'-query.jpg", "'=")}
    wanted = [match["score"] for match in matches]
    assert [float(row["score"]) for row in rows] == pytest.approx(wanted)
    line = "import('/page/exports.js').then(module => module.csv([[-0.25, -3, '-3', '\\t=1', '\\r=1', null]]))"
    assert window.run(line) == "\ufeff-0.25,-3,'-3,'\t=1,\"'\r=1\",\r\n"  # numbers stay numbers
    assert window.faults == []


def test_marks_are_kept_changed_downloaded_and_deleted(
    toy_run: ToyRun, page: ServedPage, tab: Tab, tmp_path: Path
) -> None:
    path = query_photo(toy_run)
    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(one => one.ariaLabel)"
    search_with(tab, path)
    names = match_names(tab)
    for number, mark in ((0, "same"), (1, "another"), (2, "same"), (2, "another"), (3, "same"), (3, "same")):
        tab.run(f"document.querySelectorAll('#matches button[data-mark={mark}]')[{number}].click()")
    labels = [f"{names[0]} is the same vehicle", *(f"{name} is another vehicle" for name in names[1:3])]
    assert tab.run(pressed) == labels
    address = tab.run("location.href")
    tab.open("about:blank")
    tab.open(address)
    tab.wait(f"{MATCHES} === 10 && {IDLE} && {pressed}.length === 3")
    assert tab.run(pressed) == labels
    tab.run("document.querySelectorAll('#matches figcaption a')[1].click()")  # compare
    tab.wait(f"document.querySelector('#score [aria-pressed=true]')?.dataset.mark === 'another' && {IDLE}")
    tab.run("document.querySelectorAll('#matches a.picture')[0].click()")
    tab.wait(f"{HEADING}.startsWith({json.dumps(names[0])}) && {IDLE}")
    assert tab.run(pressed) == []  # they are marks of another query
    tab.run("document.querySelectorAll('#matches button[data-mark=same]')[0].click()")
    rows = read_csv(tab.downloaded("document.getElementById('marks-csv').click()", "marks.csv", tmp_path))
    wanted = [(path.name, names[0], "same"), *((path.name, name, "another") for name in names[1:3])]
    assert [tuple(row.values()) for row in rows] == [*wanted, (names[0], match_names(tab)[0], "same")]
    assert list(rows[0]) == ["query", "candidate", "mark"]
    tab.run("window.confirm = () => false")
    click(tab, "marks-clear")
    assert tab.run("document.getElementById('marks-count').textContent") == "4 marks in this browser"
    tab.run("window.confirm = () => true")
    click(tab, "marks-clear")
    assert tab.run(pressed) == [] and tab.run("document.getElementById('marks').hidden")


def test_one_of_several_vehicles_is_chosen_by_a_rectangle(
    toy_run: ToyRun, gallery: Gallery, tab: Tab, tmp_path: Path
) -> None:
    frame, (left, right) = tmp_path / "frame.png", [load_image(query_photo(toy_run, number)) for number in (0, 1)]
    Image.fromarray(np.hstack([left, right])).save(frame)
    height, width = left.shape[:2]
    search_with(tab, frame)
    click(tab, "choose-vehicle")
    tab.wait(f"document.getElementById('frame').open && {LOADED}")
    assert tab.run("document.getElementById('frame-search').disabled")
    tab.drag("#frame-picture", (0.5, 0.0), (1.2, 1.2))  # beyond the corner
    sides = "['left', 'top', 'right', 'bottom'].map(side => document.getElementById(`frame-${side}`).valueAsNumber)"
    assert tab.run(sides) == [width, 0, 2 * width, height]
    click(tab, "frame-search")
    tab.wait(f"!document.getElementById('frame').open && {MATCHES} === 10 && {IDLE} && {LOADED} && location.hash")
    tab.wait(f"document.getElementById('box').textContent.includes('{width} x {height} pixels at {width}, 0')")
    wanted = gallery.search(right, k=10)
    assert match_names(tab) == list(wanted["name"])
    rows = read_csv(tab.downloaded("document.getElementById('matches-csv').click()", "matches.csv", tmp_path))
    assert {row["query"] for row in rows} == {f"frame.png#xywh={width},0,{width},{height}"}
    assert [float(row["score"]) for row in rows] == pytest.approx(list(wanted["score"]), abs=1e-6)
    click(tab, "choose-vehicle")  # another one of the same photo
    tab.wait("document.getElementById('frame').open")
    assert tab.run(sides) == [width, 0, 2 * width, height]
    for side, value in (("left", 0), ("right", width + 3)):
        tab.run(f"document.getElementById('frame-{side}').value = {value}")
    tab.run("document.getElementById('frame-left').dispatchEvent(new Event('input'))")
    click(tab, "frame-search")
    tab.wait(f"document.getElementById('box').textContent.includes('{width + 3} x {height} pixels at 0, 0') && {IDLE}")
    found = gallery.search(np.hstack([left, right])[:, : width + 3].copy(), k=10)
    assert match_names(tab) == list(found["name"])


def test_too_many_files_at_once_are_refused_as_a_whole(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run(
        """(() => { const load = new DataTransfer();
          for (let i = 0; i < 2001; i++) load.items.add(new File(["x"], `${i}.jpg`));
          const event = new DragEvent("drop", { dataTransfer: load, bubbles: true });
          document.getElementById("drop").dispatchEvent(event); })()"""
    )
    assert "2,001 files; search with at most 2,000 at once" in problem_of(tab)
    assert tab.run("document.querySelectorAll('#batch-rows tr').length") == 0 and not tab.run(SHOWN_RESULTS)


def test_an_empty_folder_and_an_unreadable_file_are_told(toy_run: ToyRun, tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tab.drop("#drop", tmp_path / "empty")
    tab.wait(FINISHED)
    rows: Any = tab.run(ROWS)
    assert rows == [["empty", "left out", "is an empty folder"]]


def test_on_a_phone_the_matches_come_first_and_nothing_scrolls_sideways(
    toy_run: ToyRun, tab: Tab, tmp_path: Path
) -> None:
    width = "document.documentElement.scrollWidth"
    tab.window(390, 844, phone=True)
    long_name = tmp_path / f"{'camera-7-' * 12}.jpg"
    shutil.copy(query_photo(toy_run), long_name)
    tab.choose("#file", long_name, query_photo(toy_run, 1))
    tab.wait(FINISHED)
    assert tab.run(width) == 390
    tab.run("document.querySelector('#batch-rows a').click()")
    tab.wait(f"{MATCHES} === 10 && {IDLE} && {LOADED}")
    assert tab.run(width) == 390
    top = "document.querySelector('#matches li').getBoundingClientRect().top"
    assert 0 < tab.run(top) < 422 < 844 < tab.run("document.getElementById('query').getBoundingClientRect().top")
    click(tab, "choose-vehicle")
    tab.wait(f"document.getElementById('frame').open && {LOADED}")
    assert tab.run("document.getElementById('frame').scrollWidth <= document.getElementById('frame').clientWidth")
