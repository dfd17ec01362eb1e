"""The search page in a browser: filters of the list and of the matches, details of images, and hostile text in them."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.browser.devtools import Tab, needs_browser
from helpers.browser.window import (
    FOCUSABLE,
    HEADING,
    IDLE,
    LOADED,
    MATCHES,
    PHONE,
    hold_requests,
    match_names,
    problem_of,
    query_photo,
    release_requests,
    search_with,
    start_page,
)
from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, detailed, gallery_with, served
from vehicle_reid import Gallery
from vehicle_reid.tables import embeddings_table

pytestmark = needs_browser
LISTED = "[...document.querySelectorAll('#gallery a.picture')].map(one => one.title)"
LONG = "a-lane-with-a-name-that-is-longer-than-a-phone-is-wide-" * 3


@pytest.fixture(scope="module")
def known(gallery: Gallery) -> Gallery:
    """The gallery with details."""
    return detailed(gallery, note=[LONG if row == 2 else "" for row in range(len(gallery))])


@pytest.fixture(scope="module")
def known_page(toy_run: ToyRun, known: Gallery) -> Iterator[ServedPage]:
    """The page of the gallery with details."""
    with served(known, toy_run.root) as page:
        yield page


@pytest.fixture
def known_tab(window: Tab, known_page: ServedPage) -> Iterator[Tab]:
    """That page in a wide window; fails if the browser reports a fault."""
    with start_page(window, known_page.url):
        yield window


def choose(tab: Tab, name: str, value: str, group: str = "filters") -> None:
    """Choose a value of a filter, as a user does: the event comes when the field is left."""
    tab.run(
        f"""(() => {{ const field = document.querySelector('#{group} [data-filter={name}]');
          field.value = {json.dumps(value)};
          field.dispatchEvent(new Event("change", {{ bubbles: true }})); }})()"""
    )


def wait_for_matches(tab: Tab, names: list[str]) -> None:
    shown = "JSON.stringify([...document.querySelectorAll('#matches a.picture')].map(one => one.title))"
    tab.wait(f"{shown} === {json.dumps(json.dumps(names, separators=(',', ':')))} && {IDLE}")


def query_of(gallery: Gallery, row: int) -> pd.DataFrame:
    return embeddings_table(gallery.entries.take(np.array([row])))


@pytest.mark.parametrize(
    ("chosen", "arguments", "address"),
    [
        ({"vehicle": "7"}, {"equal": {"vehicle": "7"}}, "?vehicle=7"),
        (
            {"camera": "not-camera=1", "lane": "left"},
            {"without_cameras": [1], "equal": {"lane": "left"}},
            "?not-camera=1&lane=left",
        ),
        (
            {"since": " 2026-11-05", "until": "2026-11-05T10"},
            {"since": "2026-11-05", "until": "2026-11-05T10"},
            "?since=2026-11-05&until=2026-11-05T10",
        ),
        ({"note": LONG}, {"equal": {"note": LONG}}, f"?note={LONG}"),
    ],
)
def test_matches_are_filtered_and_the_address_keeps_the_filters(
    toy_run: ToyRun,
    known: Gallery,
    known_page: ServedPage,
    known_tab: Tab,
    chosen: dict[str, str],
    arguments: dict[str, Any],
    address: str,
) -> None:
    tab, path = known_tab, query_photo(toy_run)
    everything, wanted = list(known.search(path)["name"]), list(known.search(path, **arguments)["name"])
    assert 0 < len(wanted) and wanted != everything
    search_with(tab, path)
    for name, value in chosen.items():
        choose(tab, name, value)
    wait_for_matches(tab, wanted)
    assert tab.run("location.search") == address
    whole = tab.run("location.href")
    tab.open("about:blank")
    tab.open(whole)
    wait_for_matches(tab, wanted)
    tab.run("document.querySelector('#filters .more button').click()")
    wait_for_matches(tab, everything)
    assert tab.run("location.search") == ""


def test_the_page_says_why_there_are_no_matches(toy_run: ToyRun, gallery: Gallery, window: Tab) -> None:
    count = "document.getElementById('count').textContent"
    alone = gallery_with(gallery, gallery.entries.take(np.arange(1)))
    with served(alone, toy_run.root) as page:
        window.faults.clear()
        for query, words in (
            ("", "There is no other image in the gallery."),
            ("?not-camera=own", "No image of the gallery matches this filter."),
        ):
            window.open("about:blank")
            window.open(f"{page.url}{query}#q=g0")
            window.wait(f"{HEADING} && {IDLE} && {count} === {json.dumps(words)}")
            assert window.run(MATCHES) == 0
        assert window.faults == []


def test_filters_stay_while_other_photos_are_searched_with_and_back_restores_those_of_a_photo(
    known: Gallery, known_page: ServedPage, known_tab: Tab
) -> None:
    tab = known_tab

    def wanted(row: int, **arguments: Any) -> list[str]:
        return list(known.search(query_of(known, row), without=[known.names[row]], **arguments)["name"])

    tab.open(f"{known_page.url}?lane=left#q=g0")
    wait_for_matches(tab, wanted(0, equal={"lane": "left"}))
    tab.run("document.querySelectorAll('#matches a.picture')[1].click()")
    other = known.names.index(wanted(0, equal={"lane": "left"})[1])
    wait_for_matches(tab, wanted(other, equal={"lane": "left"}))
    choose(tab, "lane", "right")
    wait_for_matches(tab, wanted(other, equal={"lane": "right"}))
    tab.run("history.back()")
    wait_for_matches(tab, wanted(0, equal={"lane": "left"}))
    assert tab.run("document.querySelector('#filters [data-filter=lane]').value") == "left"
    tab.run("document.getElementById('home').click()")
    tab.wait("!document.getElementById('start').hidden")
    assert tab.run("document.getElementById('batch-filters').textContent") == (
        "Photos that are added are searched with the filters: lane left"
    )


def test_the_camera_of_the_photo_is_left_out_whichever_photo_it_is(
    toy_run: ToyRun, known: Gallery, known_page: ServedPage, known_tab: Tab
) -> None:
    tab, cameras = known_tab, known.entries.cameras.tolist()
    tab.open(f"{known_page.url}#q=g0")
    tab.wait(f"{MATCHES} === 10 && {IDLE}")
    choose(tab, "camera", "not-camera=own")
    for _ in range(2):  # the second photo is by the other camera
        row = known.names.index(tab.run(HEADING).split(" · ")[0])
        own = cameras[row]
        wanted = known.search(query_of(known, row), without=[known.names[row]], without_cameras=[own])
        wait_for_matches(tab, list(wanted["name"]))
        assert tab.run("location.search") == "?not-camera=own"
        tab.run("document.querySelectorAll('#matches a.picture')[0].click()")
        tab.wait(f"{HEADING}.startsWith({json.dumps(wanted['name'][0])}) && {IDLE}")
    path = query_photo(toy_run)
    search_with(tab, path)
    assert match_names(tab) == list(known.search(path)["name"])
    assert "The camera of this photo is not known" in tab.run("document.getElementById('count').textContent")


def test_the_list_has_the_same_filters(known: Gallery, known_page: ServedPage, known_tab: Tab) -> None:
    tab, details = known_tab, known.entries.details
    cameras = known.entries.cameras.tolist()
    fields = "[...document.querySelectorAll('#{} [data-filter]')].map(one => one.dataset.filter)"
    assert tab.run(fields.format("picker-filters")) == tab.run(fields.format("filters"))
    assert tab.run(fields.format("filters")) == ["camera", "since", "until", "vehicle", "lane", "note"]
    tab.run("document.querySelector('.pick').click()")
    tab.wait("document.getElementById('picker').open")
    rows = [row for row in range(len(known)) if details["lane"][row] == "left" and cameras[row] == 1]
    choose(tab, "camera", "camera=1", "picker-filters")
    choose(tab, "lane", "left", "picker-filters")
    wanted = json.dumps(sorted(known.names[row] for row in rows), separators=(",", ":"))
    assert rows
    tab.wait(f"JSON.stringify({LISTED}) === {json.dumps(wanted)}")
    assert tab.run("location.search") == ""  # the matches have their own
    choose(tab, "since", "5.11.2026", "picker-filters")
    tab.wait("document.getElementById('picker-problem').textContent.startsWith('since: must be as in ISO 8601')")
    choose(tab, "since", "", "picker-filters")
    tab.wait(f"JSON.stringify({LISTED}) === {json.dumps(wanted)}")
    assert tab.run("document.querySelector('#picker-camera [value$=own]').disabled")
    tab.run("document.getElementById('picker').close()")
    tab.run("document.querySelector('#picker-filters .more button').click()")
    tab.open(f"{known_page.url}#q=g0")
    tab.wait(f"{MATCHES} === 10 && {IDLE}")
    tab.run("document.querySelectorAll('.pick')[1].click()")  # to compare with a photo, whose camera is known
    choose(tab, "camera", "not-camera=own", "picker-filters")
    others = sorted(name for name, camera in zip(known.names, cameras, strict=True) if camera != cameras[0])
    wanted = json.dumps(others, separators=(",", ":"))
    tab.wait(f"JSON.stringify({LISTED}) === {json.dumps(wanted)}")
    assert len(tab.faults) == 1 and "status of 422" in tab.faults.pop()


def test_the_list_is_turned_by_one_page_however_often_a_button_is_pressed(
    toy_run: ToyRun, gallery: Gallery, window: Tab
) -> None:
    ten = gallery.entries.take(np.arange(10))
    tens = [
        replace(ten, ids=ten.ids + 100 * number, names=tuple(f"{number}{row}.jpg" for row in range(10)))
        for number in range(3)
    ]
    large = gallery_with(gallery, tens[0].followed_by(tens[1]).followed_by(tens[2]))
    count = "document.getElementById('picker-count').textContent"
    press = "document.getElementById('{}').click()"
    with served(large, toy_run.root) as page, start_page(window, page.url):
        window.run("document.querySelector('.pick').click()")
        window.wait(f"{count} === '1 to 24 of 30'")
        for button, wanted in (("next", "25 to 30 of 30"), ("previous", "1 to 24 of 30")):
            hold_requests(window, "/v1/vehicles")
            window.run(press.format(button))
            window.run(press.format(button))
            release_requests(window)
            window.wait(f"{count} === '{wanted}'")
        hold_requests(window, "/v1/vehicles")
        window.run("document.getElementById('words').value = '1'")
        window.run("document.getElementById('words').dispatchEvent(new Event('input'))")
        window.run(press.format("next"))  # of a list that is not there yet
        release_requests(window)
        window.wait(f"{count} === '1 to 12 of 12'")
        window.run("document.getElementById('words').value = ''")
        window.run("document.getElementById('words').dispatchEvent(new Event('input'))")
        window.wait(f"{count} === '1 to 24 of 30'")
        once = "const send = fetch; fetch = async () => { fetch = send; return new Response('{}', { status: 500 }); }"
        window.run(f"(() => {{ {once}; }})()")
        window.run(press.format("next"))
        window.wait("!document.getElementById('picker-problem').hidden")
        window.run(press.format("next"))
        window.wait(f"{count} === '25 to 30 of 30' && document.getElementById('picker-problem').hidden")


def test_a_time_that_is_none_is_refused_and_can_be_mended(
    known: Gallery, known_page: ServedPage, known_tab: Tab
) -> None:
    known_tab.open(f"{known_page.url}?until=yesterday#q=g0")
    assert problem_of(known_tab) == "until: must be as in ISO 8601: 2026-11-05, or 2026-11-05T08:30"
    assert known_tab.run(MATCHES) == 0 and known_tab.run("document.getElementById('count').textContent") == ""
    choose(known_tab, "until", "2026-11-04")
    wait_for_matches(
        known_tab, list(known.search(query_of(known, 0), without=[known.names[0]], until="2026-11-04")["name"])
    )
    assert known_tab.run("document.getElementById('problem').hidden")
    assert len(known_tab.faults) == 1 and "status of 422" in known_tab.faults.pop()


def test_a_late_error_of_an_earlier_filter_does_not_replace_the_matches_of_a_later_one(
    known: Gallery, known_page: ServedPage, known_tab: Tab
) -> None:
    known_tab.open(f"{known_page.url}#q=g0")
    known_tab.wait(f"{MATCHES} === 10 && {IDLE}")
    hold_requests(known_tab, "/v1/search")
    choose(known_tab, "since", "yesterday")
    known_tab.wait("held.length === 1")
    known_tab.run("held.push = later => { later(); }")  # what is asked for from now on is answered at once
    choose(known_tab, "since", "2026-11-05")
    wanted = list(known.search(query_of(known, 0), without=[known.names[0]], since="2026-11-05")["name"])
    wait_for_matches(known_tab, wanted)
    release_requests(known_tab)
    known_tab.wait("performance.getEntriesByType('resource').some(one => one.responseStatus === 422)")
    known_tab.run("new Promise(done => setTimeout(done, 200))")
    assert match_names(known_tab) == wanted
    assert known_tab.run("document.getElementById('problem').hidden")
    assert len(known_tab.faults) == 1 and "status of 422" in known_tab.faults.pop()


def test_filters_work_with_the_keyboard_on_a_phone(known: Gallery, known_page: ServedPage, known_tab: Tab) -> None:
    tab, focused = known_tab, "document.activeElement"
    tab.window(PHONE, 740, phone=True)
    tab.open(f"{known_page.url}#q=g0")
    tab.wait(f"{MATCHES} === 10 && {IDLE} && {LOADED}")
    top = "document.querySelector('#matches li').getBoundingClientRect().top + scrollY"
    assert tab.run(top) < 740  # closed filters leave room for the matches
    tab.run("document.getElementById('k').focus()")
    tab.press("Tab")
    assert tab.run(f"{focused}.tagName") == "SUMMARY"
    tab.press("Enter")
    tab.press("Tab")
    assert tab.run(f"{focused}.dataset.filter") == "since"
    assert "from 2026-11-04T" in tab.run(
        f"document.getElementById({focused}.getAttribute('aria-describedby')).innerText"
    )
    tab("Input.insertText", text="2026-11-05")
    tab.press("Enter")
    wanted = known.search(query_of(known, 0), without=[known.names[0]], since="2026-11-05")
    wait_for_matches(tab, list(wanted["name"]))
    assert tab.run("document.querySelector('#filters summary').innerText") == "More filters: from 2026-11-05"
    choose(tab, "note", LONG)
    wait_for_matches(tab, [name for name in wanted["name"] if name == known.names[2]])
    choose(tab, "note", "")
    wait_for_matches(tab, list(wanted["name"]))
    tab.press("Tab", 5)
    assert tab.run(f"{focused}.textContent") == "Clear the filters"
    for html, focusable, index, outline, width, name_length in tab.run(FOCUSABLE):
        assert focusable and index == 0 and outline != "none" and width >= 2 and name_length > 0, html
    wide = "[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    assert tab.run(f"{wide}.map(one => one.outerHTML.slice(0, 99))") == []
    tab.run("document.querySelector('.pick').click()")
    tab.run("document.querySelector('#picker .more').open = true")
    tab.wait(f"document.querySelectorAll('#gallery li').length > 0 && {LOADED}")
    assert tab.run("document.getElementById('picker').scrollWidth <= document.getElementById('picker').clientWidth")
    assert tab.run("document.documentElement.scrollWidth") == PHONE


def test_details_are_shown_with_a_match_and_saved(
    toy_run: ToyRun, known: Gallery, known_tab: Tab, tmp_path: Path
) -> None:
    tab, path = known_tab, query_photo(toy_run)
    search_with(tab, path)
    details = known.entries.details
    rows = [known.names.index(name) for name in known.search(path)["name"]]
    wanted = [
        [f"{column} {details[column][row]}" for column in ("vehicle", "time", "lane", "note") if details[column][row]]
        for row in rows
    ]
    shown = "[...one.querySelectorAll('.detail')].map(detail => detail.textContent)"
    assert tab.run(f"[...document.querySelectorAll('#matches figcaption')].map(one => {shown})") == wanted
    text = tab.downloaded("document.getElementById('matches-csv').click()", "matches.csv", tmp_path)
    saved = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert list(saved[0])[-4:] == ["vehicle", "time", "details.lane", "details.note"]
    for column in ("vehicle", "time", "lane", "note"):
        prefix = "details." if column in ("lane", "note") else ""
        assert [row[f"{prefix}{column}"] for row in saved] == details[column].iloc[rows].tolist()
    (query,) = json.loads(tab.downloaded("document.getElementById('matches-json').click()", "matches.json", tmp_path))[
        "queries"
    ]
    assert [(match["vehicle"], match["time"]) for match in query["matches"]] == list(
        details[["vehicle", "time"]].iloc[rows].itertuples(index=False, name=None)
    )
    assert [match["details"] for match in query["matches"]] == details[["lane", "note"]].iloc[rows].to_dict("records")
    tab.run("document.querySelectorAll('#matches figcaption a')[0].click()")
    tab.wait(f"document.querySelector('#right h3') && {IDLE}")
    assert tab.run("[...document.querySelectorAll('#right .detail')].map(one => one.textContent)") == wanted[0]


def test_hostile_names_and_details_are_text_everywhere(gallery: Gallery, window: Tab, tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title='run'>"
    spoof = "\u202egpj.\u200b"
    values = [f"{evil}\"' onfocus=alert(1) autofocus", "</option></select><script>document.title='run'</script>", spoof]
    names = (f"{evil}.jpg", "</a><script>document.title='run'</script>?&#k=1.jpg", f"{spoof}%00.jpg")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 72)).save(tmp_path / name, "JPEG")
    details = pd.DataFrame({"vehicle": values, "time": values, "lane": values, "constructor": values})
    entries = replace(gallery.entries.take(np.arange(3)), names=names, details=details)
    window.faults.clear()
    with served(gallery_with(gallery, entries), tmp_path) as page:
        for row, own in enumerate(names):
            window.open("about:blank")
            window.open(f"{page.url}#q=g{row}")
            window.wait(f"{MATCHES} === 2 && {IDLE} && {LOADED}")
            shown = [name.replace("\u202e", "\\u202e").replace("\u200b", "\\u200b") for name in names if name != own]
            assert sorted(match_names(window)) == sorted(shown)
            assert spoof not in window.run('document.documentElement.outerHTML.replaceAll(/value="[^"]*"/g, \'\')')
        for column in ("lane", "constructor", "vehicle"):
            options = f"[...document.querySelectorAll('#filters [data-filter={column}] option')].map(one => one.value)"
            assert window.run(options) == ["", *sorted(values)]
            for value in values:
                choose(window, column, value)
                window.wait(f"{MATCHES} === {int(value != values[-1])} && {IDLE}")  # the last is the photo's own
                assert window.run(f"new URLSearchParams(location.search).get('{column}')") == value
            choose(window, column, "")
            window.wait(f"{MATCHES} === 2 && {IDLE}")
        window.run("document.querySelectorAll('#matches figcaption a')[0].click()")
        window.wait(f"document.querySelector('#right h3') && {IDLE}")
        window.run("document.querySelector('.pick').click()")
        window.wait("document.querySelectorAll('#gallery li').length === 3")
        assert window.run("document.querySelectorAll('main script, dialog script, [onerror], [onfocus]').length") == 0
        assert window.run("document.title").endswith("search for a vehicle")
    assert window.faults == []
