"""The search page in a browser: keys, focus, contrast, phones, pictures that are gone, the server's end."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.browser.chromium import needs_browser
from helpers.browser.contrast import READABLE, luminance
from helpers.browser.devtools import Tab
from helpers.browser.window import FOCUS, HEADING, IDLE, LOADED, MATCHES, PHONE, names, photo, searched, told
from helpers.places.api import Place
from helpers.places.serve import Served, served
from vehicle_reid import Gallery
from vehicle_reid.gallery.search import ExactSearch

pytestmark = needs_browser


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
