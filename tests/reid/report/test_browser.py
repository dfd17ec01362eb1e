"""The report in a browser: no errors, working filters, keyboard access, narrow screens, dark mode."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.files import append_json_line
from helpers.browser.chromium import in_frame, needs_browser, run_in_browser
from helpers.browser.contrast import READABLE, luminance
from helpers.browser.html_page import Page
from helpers.toy.evaluated import make_evaluated_run, ramp_heatmaps
from reid.report.evaluated_run import EvaluatedRun
from reid.report.page import write_report

pytestmark = needs_browser
PHONE = 360  # CSS pixels
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
              const visible = lists.map((_, index) => index).filter(index => lists[index].checkVisibility());
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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with all sections."""
    root = tmp_path_factory.mktemp("run")
    run, other = make_evaluated_run(root), make_evaluated_run(root, name="grid_small", noise=3)
    run.folder.mkdir()
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    (root / "ablation").mkdir()
    cells = " | ".join(["a long heading"] * 14)
    (root / "ablation" / "table-1.md").write_text(f"# Losses\n\n| {cells} |\n| {cells} |\n| {cells} |\n\n- A note.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluatedRun, "heatmaps", ramp_heatmaps)
        written = write_report(
            run, [other], target=root / "report.html", ablation_folder=root / "ablation", queries=5, top_k=8, heatmaps=2
        )
    yield written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all SCRIPTS on the page, in one visit."""
    calls = ", ".join(f"{name}: (() => {{ {script} }})()" for name, script in SCRIPTS.items())
    return run_script(page, f"return {{ {calls} }}", tmp_path_factory.mktemp("light"), LIGHT)


def run_script(page: str, script: str, folder: Path, *options: str) -> Any:
    """Return the result of a script on the page, which must load without an error."""
    result, errors = run_in_browser(page, script, folder, *options)
    assert errors == []
    return result


def test_every_image_loads(page: str, found: dict[str, Any]) -> None:
    assert found["pictures"] == [len(Page(page).attributes("img")), 0]


def test_page_errors_are_detected(page: str, tmp_path: Path) -> None:
    """A broken image, a broken script, and a request to another host."""
    faults = '<img src="data:image/png;base64,xx"><script>nothing.there()</script><img src="http://a.b/c.png">'
    _, errors = run_in_browser(page.replace("</main>", f"{faults}</main>"), "return 0", tmp_path)
    text = str(errors)
    assert "error: undefined" in text and "nothing is not defined" in text and "http://a.b" in text


def test_filters_show_the_matching_lists(page: str, found: dict[str, Any]) -> None:
    articles = Page(page).attributes("article")
    assert len(found["filters"]) == 24
    for *choice, visible, count in found["filters"]:
        keys = dict(zip(("data-group", "data-first", "data-camera"), choice, strict=True))
        matching = [
            index
            for index, attributes in enumerate(articles)
            if all(value in ("", attributes[key]) for key, value in keys.items())
        ]
        assert visible == matching and count == f"{len(matching)} of 5 lists"
    assert {len(visible) for *_, visible, _ in found["filters"]} >= {0, 1, 2, 5}


def test_focusable_elements_show_the_focus_in_page_order(found: dict[str, Any]) -> None:
    assert {tag for tag, *_ in found["focus"]} >= {"INPUT", "SELECT", "SUMMARY", "DIV", "PRE"}
    for tag, focused, visible, outline, width, index, area in found["focus"]:
        assert focused and visible and outline != "none" and width >= 2 and index <= 0 and area > 0, tag


def test_a_narrow_page_does_not_scroll_sideways_and_scrolling_boxes_are_focusable(page: str, tmp_path: Path) -> None:
    script = """
        const frame = document.querySelector("iframe"), inside = frame.contentDocument, view = frame.contentWindow;
        const wide = [...inside.querySelectorAll("body *")].filter(element =>
          element.scrollWidth > element.clientWidth && /auto|scroll/.test(view.getComputedStyle(element).overflowX));
        return [inside.documentElement.scrollWidth, inside.documentElement.clientWidth, view.innerWidth,
                inside.querySelectorAll("article").length, wide.length, wide.filter(one => one.tabIndex < 0).length];"""
    page_width, room, frame, articles, scrolling, unreachable = run_script(in_frame(page, PHONE), script, tmp_path)
    assert frame == PHONE and page_width <= room and articles == 5
    assert scrolling > 5 and unreachable == 0


def test_text_contrast_in_light_and_dark_mode(page: str, found: dict[str, Any], tmp_path: Path) -> None:
    for dark, colours in ((False, found["colours"]), (True, run_script(page, SCRIPTS["colours"], tmp_path, DARK))):
        is_dark, background, inks = colours
        assert is_dark == dark and (luminance(background) < 0.1) == dark
        for ink in inks:
            bright, dim = sorted((luminance(ink), luminance(background)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= READABLE, ink
