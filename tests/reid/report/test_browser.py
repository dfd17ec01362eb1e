"""The report in a browser: no error, filters that filter, and a page for keyboard, phone and dark rooms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.files import append_json_line
from helpers.browser.chromium import ask, in_frame, needs_browser
from helpers.browser.contrast import READABLE, luminance
from helpers.browser.html_page import Page
from helpers.toy.evaluated import shown_run
from reid.report.evaluated_run import ShownRun
from reid.report.heatmaps import Heat
from reid.report.page import write_report

pytestmark = needs_browser
PHONE = 360  # CSS pixels
VISIBLE = (
    "[...document.querySelectorAll('article')].map((list, place) => list.offsetParent ? place : -1).filter(n => n >= 0)"
)
LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"
SCRIPTS = {
    "pictures": """
        const bad = [...document.images].filter(image => !image.complete || !image.naturalWidth);
        return [document.images.length, bad.length];""",
    "filters": """
        const found = [], lists = [...document.querySelectorAll("article")], choose = (name, value) => {
          const list = document.querySelector(`select[name=${name}]`);
          if (!list) return document.querySelector(`[name=${name}][value="${value}"]`).click();
          list.value = value;
          list.dispatchEvent(new Event("change", { bubbles: true }));
        };
        for (const group of ["worst", "middle", "best", ""])
          for (const first of ["right", "wrong", ""])
            for (const camera of ["0", ""]) {
              choose("group", group); choose("first", first); choose("camera", camera);
              const visible = lists.map((_, place) => place).filter(place => lists[place].checkVisibility());
              found.push([group, first, camera, visible, document.getElementById("shown").textContent]);
            }
        return found;""",
    "focus": """
        document.querySelectorAll("details").forEach(details => { details.open = true; });
        const all = [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")];
        return all.map(element => {
          element.focus();
          const style = getComputedStyle(element), box = element.getBoundingClientRect();
          return [element.tagName, document.activeElement === element, element.matches(":focus-visible"),
                  style.outlineStyle, parseFloat(style.outlineWidth), element.tabIndex, box.width * box.height];
        });""",
    "colours": """
        const shown = selector => getComputedStyle(document.querySelector(selector)).color;
        return [matchMedia("(prefers-color-scheme: dark)").matches, getComputedStyle(document.body).backgroundColor,
                ["body", ".quiet", ".right", ".wrong", "figcaption", "thead th", ".filters label"].map(shown)];""",
}


def ramps(run: ShownRun, names: list[str], *, device: str) -> dict[str, Heat]:
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    return {name: Heat(ramp, 1.5 * ramp) for name in names}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with every section there is."""
    root = tmp_path_factory.mktemp("run")
    run, other = shown_run(root), shown_run(root, name="grid_small", noise=3)
    run.folder.mkdir()
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    (root / "ablation").mkdir()
    cells = " | ".join(["a long heading"] * 14)
    (root / "ablation" / "table-1.md").write_text(f"# Losses\n\n| {cells} |\n| {cells} |\n| {cells} |\n\n- A note.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShownRun, "heat", ramps)
        written = write_report(
            run, [other], target=root / "report.html", ablation_folder=root / "ablation", queries=5, top_k=8, heatmaps=2
        )
    yield written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scripts below find on the page, in one visit."""
    asked = ", ".join(f"{name}: (() => {{ {script} }})()" for name, script in SCRIPTS.items())
    return answer(page, f"return {{ {asked} }}", tmp_path_factory.mktemp("light"), LIGHT)


def answer(page: str, script: str, folder: Path, *options: str) -> Any:
    """What the script finds, on a page without an error."""
    told, errors = ask(page, script, folder, *options)
    assert errors == []
    return told


def test_every_picture_loads(page: str, found: dict[str, Any]) -> None:
    assert found["pictures"] == [len(Page(page).attributes("img")), 0]


def test_a_fault_of_the_page_would_be_seen(page: str, tmp_path: Path) -> None:
    """A broken picture, a broken script, and a request that leaves the page: each is told."""
    faults = '<img src="data:image/png;base64,xx"><script>nothing.there()</script><img src="http://a.b/c.png">'
    _, errors = ask(page.replace("</main>", f"{faults}</main>"), "return 0", tmp_path)
    told = str(errors)
    assert "error: undefined" in told and "nothing is not defined" in told and "http://a.b" in told


def test_filters_show_the_lists_that_they_name(page: str, found: dict[str, Any]) -> None:
    articles = Page(page).attributes("article")
    assert len(found["filters"]) == 24
    for *wanted, visible, told in found["filters"]:
        keys = dict(zip(("data-group", "data-first", "data-camera"), wanted, strict=True))
        fitting = [
            place
            for place, attributes in enumerate(articles)
            if all(value in ("", attributes[key]) for key, value in keys.items())
        ]
        assert visible == fitting and told == f"{len(fitting)} of 5 lists"
    assert {len(visible) for *_, visible, _ in found["filters"]} >= {0, 1, 2, 5}


def test_whatever_takes_the_focus_shows_it(found: dict[str, Any]) -> None:
    """In the order of the page: nothing has a tabindex above 0."""
    assert {tag for tag, *_ in found["focus"]} >= {"INPUT", "SELECT", "SUMMARY", "DIV", "PRE"}
    for tag, focused, visible, outline, width, index, area in found["focus"]:
        assert focused and visible and outline != "none" and width >= 2 and index <= 0 and area > 0, tag


def test_a_phone_scrolls_no_page_sideways_and_a_keyboard_reaches_what_does(page: str, tmp_path: Path) -> None:
    script = """
        const frame = document.querySelector("iframe"), inside = frame.contentDocument, view = frame.contentWindow;
        const wide = [...inside.querySelectorAll("body *")].filter(element =>
          element.scrollWidth > element.clientWidth && /auto|scroll/.test(view.getComputedStyle(element).overflowX));
        return [inside.documentElement.scrollWidth, inside.documentElement.clientWidth, view.innerWidth,
                inside.querySelectorAll("article").length, wide.length, wide.filter(one => one.tabIndex < 0).length];"""
    page_width, room, frame, articles, scrolling, unreachable = answer(in_frame(page, PHONE), script, tmp_path)
    assert frame == PHONE and page_width <= room and articles == 5
    assert scrolling > 5 and unreachable == 0


def test_text_can_be_read_in_light_and_dark(page: str, found: dict[str, Any], tmp_path: Path) -> None:
    for dark, colours in ((False, found["colours"]), (True, answer(page, SCRIPTS["colours"], tmp_path, DARK))):
        is_dark, ground, inks = colours
        assert is_dark == dark and (luminance(ground) < 0.1) == dark
        for ink in inks:
            bright, dim = sorted((luminance(ink), luminance(ground)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= READABLE, ink
