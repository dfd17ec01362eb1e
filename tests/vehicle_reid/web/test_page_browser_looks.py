"""The search page in a browser: keyboard, focus, contrast, phones, missing pictures, a stopped server."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.browser.contrast import READABLE, luminance
from helpers.browser.devtools import Tab, needs_browser
from helpers.browser.window import (
    FOCUSABLE,
    HEADING,
    IDLE,
    LOADED,
    MATCHES,
    PHONE,
    match_names,
    problem_of,
    query_photo,
    search_with,
)
from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, gallery_with, served
from vehicle_reid import Gallery

pytestmark = needs_browser


def test_the_page_works_with_the_keyboard_alone(tab: Tab) -> None:
    focused = "document.activeElement"
    tab.press("Tab")
    assert tab.run(f"{focused}.id") == "home"
    tab.press("Tab")
    assert tab.run(f"{focused}.id") == "file"
    assert tab.run("getComputedStyle(document.getElementById('drop')).outlineStyle") == "solid"
    tab.press("Tab")
    assert tab.run(f"{focused}.id") == "folder"
    assert tab.run("getComputedStyle(document.getElementById('folder-button')).outlineStyle") == "solid"
    tab.press("Tab")
    assert tab.run(f"{focused}.className") == "pick"
    tab.press("Enter")
    tab.wait("document.getElementById('picker').open && document.querySelectorAll('#gallery li').length === 12")
    assert tab.run(f"{focused}.id") == "words"
    tab("Input.insertText", text="11-2")
    tab.wait("document.querySelectorAll('#gallery li').length === 1")
    tab.press("Tab", 2)  # past the camera
    tab.wait(f"{focused}.tagName === 'A'")
    tab.press("Enter")
    tab.wait(f"{HEADING}.startsWith('images/11-2.jpg') && {MATCHES} === 10 && {IDLE}")
    assert not tab.run("document.getElementById('picker').open") and tab.run(f"{focused}.id") == "results-heading"
    best = match_names(tab)[0]
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


def test_every_control_shows_its_focus_and_has_a_name(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    controls = tab.run(FOCUSABLE)
    assert len(controls) > 30
    for html, focused, index, outline, width, name_length in controls:
        assert focused and index == 0 and outline != "none" and width >= 2 and name_length > 0, html


def test_text_has_contrast_and_a_phone_needs_no_horizontal_scrolling(toy_run: ToyRun, tab: Tab) -> None:
    search_with(tab, query_photo(toy_run))
    tab.run("document.querySelectorAll('#matches figcaption a')[0].click()")
    tab.wait(f"document.querySelector('#right table, #right .quiet') && {LOADED} && {IDLE}")
    script = """
        [matchMedia("(prefers-color-scheme: dark)").matches, getComputedStyle(document.body).backgroundColor,
         ["body", ".quiet", "figcaption", "figcaption a", "thead th", ".filters label", ".rank"].map(one =>
           getComputedStyle(document.querySelector(one)).color)]"""
    for dark in (False, True):
        tab.window(PHONE, 740, phone=True, dark=dark)
        is_dark, background, colours = tab.run(script)
        assert is_dark == dark and (luminance(background) < 0.1) == dark
        for colour in colours:
            bright, dim = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= READABLE, colour
    assert tab.run("[document.documentElement.scrollWidth, innerWidth]") == [PHONE, PHONE]
    wide = "[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    assert tab.run(f"{wide}.map(one => one.outerHTML.slice(0, 99))") == []
    tab.run("document.querySelector('.pick').click()")
    tab.wait(f"document.querySelectorAll('#gallery li').length === 12 && {LOADED}")
    assert tab.run("document.getElementById('picker').scrollWidth <= document.getElementById('picker').clientWidth")
    assert tab.run("document.documentElement.scrollWidth") == PHONE


def test_names_are_shown_as_text_and_missing_pictures_with_their_reason(
    gallery: Gallery, window: Tab, tmp_path: Path
) -> None:
    evil = "<img src=x onerror=document.title='run'>.jpg"
    entries = replace(gallery.entries.take(np.arange(3)), names=(evil, "gone.jpg", "cut.jpg"))
    Image.new("RGB", (96, 72)).save(tmp_path / evil)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / evil).read_bytes()[:-120])
    window.faults.clear()
    with served(gallery_with(gallery, entries), tmp_path) as page:
        window.open(f"{page.url}#q=g0")
        window.wait(f"{MATCHES} === 2 && {LOADED} && document.querySelectorAll('#matches .missing').length === 2")
        assert window.run(HEADING).startswith(evil) and window.run("document.title").startswith(evil)
        reasons = window.run("[...document.querySelectorAll('#matches .missing')].map(one => one.textContent)")
        assert any("gone.jpg: no such file" in reason for reason in reasons)
        assert any("cut.jpg: damaged image" in reason for reason in reasons)
        for key, words in (("..%2F..%2Fetc", "there is nothing at this address"), ("g3", "no such photo")):
            window.open("about:blank")
            window.open(f"{page.url}#q={key}")
            assert words in problem_of(window)
            assert not window.run("document.getElementById('start').hidden")
    assert all("status of 4" in fault for fault in window.faults)


def test_a_screen_reader_gets_the_name_of_a_large_picture_or_why_it_is_missing(
    gallery: Gallery, window: Tab, tmp_path: Path
) -> None:
    entries = replace(gallery.entries.take(np.arange(3)), names=("there.jpg", "gone.jpg", "cut.jpg"))
    for name in ("there.jpg", "cut.jpg"):
        Image.new("RGB", (960, 720)).save(tmp_path / name)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-120])  # has a size, but no picture
    large = "document.querySelector('#query-view {}')"
    with served(gallery_with(gallery, entries), tmp_path) as page:
        for key, shown in (("g0", "img"), ("g1", ".missing"), ("g2", ".missing")):
            window.open("about:blank")
            window.open(f"{page.url}#q={key}")
            window.wait(f"{MATCHES} === 2 && {IDLE} && {LOADED} && {large.format(shown)}")
            nodes = [node for node in window("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
            read = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes}
            if shown == "img":
                assert ("image", "photograph of there.jpg") in read
            else:
                assert ("StaticText", window.run(f"{large.format(shown)}.textContent")) in read
                assert not any(role == "image" and " of " in name for role, name in read)
    window.faults.clear()


def test_a_stopped_server_is_reported(toy_run: ToyRun, gallery: Gallery, window: Tab) -> None:
    with served(gallery, toy_run.root) as page:
        window.open(f"{page.url}#q=g0")
        window.wait(f"{MATCHES} === 10 && {IDLE}")
    window.run("document.querySelectorAll('#matches a.picture')[0].click()")
    assert "The server is not responding; is `python cli.py serve` still running?" in problem_of(window)


def test_the_tab_records_errors_and_blocked_requests_of_the_page(page: ServedPage, window: Tab) -> None:
    window.faults.clear()
    window.open("about:blank")
    window.open(page.url)
    window.run("setTimeout(() => nothing.there())")
    window.run("document.body.append(Object.assign(new Image(), { src: 'http://a.b/c.png' }))")
    window.run("new Promise(done => setTimeout(done, 50))")
    faults = str(window.faults)
    assert "nothing is not defined" in faults and "http://a.b" in faults
