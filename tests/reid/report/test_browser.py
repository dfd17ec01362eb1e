"""The report and the page of answers in a browser: no errors, filters, keyboard access, narrow screens, dark mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_cache.base.files import append_json_line
from helpers.browser.contrast import READABLE, luminance
from helpers.browser.devtools import Tab, browser, needs_browser
from helpers.browser.html_page import Page
from helpers.toy.evaluated import HOSTILE, make_evaluated_run, ramp_coverings, with_columns, write_answers
from reid.report.evaluated_run import EvaluatedRun
from reid.report.page import write_report

pytestmark = needs_browser
DESKTOP, PHONE, TABLET = (1280, 800), (360, 800), (768, 1024)  # CSS pixels
FILTERS = """(() => {
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
  return found;
})()"""
ANSWER_FILTERS = """(() => {
  const shown = () => document.getElementById("shown").textContent, found = [shown()];
  for (const verdict of ["accepted", "refused", ""]) {
    document.querySelector(`[name=verdict][value="${verdict}"]`).click();
    found.push(shown());
  }
  const camera = document.querySelector("select[name=camera]");
  camera.selectedIndex = 1;
  camera.dispatchEvent(new Event("change", { bubbles: true }));
  return [...found, shown()];
})()"""
FOCUS = """(() => {
  document.querySelectorAll("details").forEach(details => { details.open = true; });
  return [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")].map(element => {
    element.focus({ focusVisible: true });
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    return [element.tagName, document.activeElement === element, style.outlineStyle, parseFloat(style.outlineWidth),
            element.tabIndex, box.width * box.height];
  });
})()"""
WIDTHS = """(() => {
  document.querySelectorAll("details").forEach(details => { details.open = true; });
  const shown = [...document.querySelectorAll("main *")].filter(element => !element.closest("thead, svg"));
  const wide = shown.filter(element => element.getBoundingClientRect().right > innerWidth + 0.5);
  const scrolling = shown.filter(element =>
    element.scrollWidth > element.clientWidth && /auto|scroll|hidden/.test(getComputedStyle(element).overflowX));
  return [document.documentElement.scrollWidth, innerWidth, wide.length, scrolling.length];
})()"""
ROWS = """[...document.querySelectorAll("article ol")].map(list => {
  const lefts = [...list.children].map(item => Math.round(item.getBoundingClientRect().left));
  const tops = [...list.children].map(item => Math.round(item.getBoundingClientRect().top));
  return [new Set(lefts).size, new Set(tops).size, list.children.length,
          [...list.querySelectorAll("figcaption")].map(caption => caption.innerText.split(" ")[0])];
})"""
COLOURS = """[getComputedStyle(document.body).backgroundColor,
  ["body", ".quiet", ".right", ".wrong", "figcaption", "thead th", ".filters label", ".lowers", ".raises"].map(
    selector => getComputedStyle(document.querySelector(selector)).color)]"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all sections."""
    root = tmp_path_factory.mktemp("run")
    run, other = make_evaluated_run(root), make_evaluated_run(root, name="grid_small", noise=3)
    run.folder.mkdir()
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    tables = root / "ablation"
    tables.mkdir()
    cells = " | ".join(["a long heading"] * 14)
    (tables / "table-1.md").write_text(f"# Losses\n\n| {cells} |\n| {cells} |\n| {cells} |\n\n- A note.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluatedRun, "coverings", ramp_coverings)
        target = root / "report.html"
        return write_report(run, [other], target=target, ablation_folder=tables, queries=5, top_k=8, heatmaps=2)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of answers with long and hostile names of images and cameras."""
    run = make_evaluated_run(tmp_path_factory.mktemp("answers"))
    numbers = run.dataset.table.index.astype(str)
    cameras = [f"{HOSTILE}  {'north' * 20} {number}" for number in run.dataset.table["camera_id"]]
    return write_answers(with_columns(run, frame=HOSTILE + "north_side" * 20 + numbers, camera=cameras))


@pytest.fixture(scope="module")
def open_browser() -> Iterator[Tab]:
    with browser() as tab:
        yield tab


@pytest.fixture
def tab(open_browser: Tab, report: Path) -> Iterator[Tab]:
    """The page, freshly opened; it must not cause errors."""
    open_browser.window(*DESKTOP)
    open_browser.faults.clear()
    open_browser.open(report.as_uri())
    yield open_browser
    assert open_browser.faults == []


def test_every_image_loads(tab: Tab, report: Path) -> None:
    images = len(Page(report.read_text(encoding="utf-8")).attributes("img"))
    tab.wait("[...document.images].every(image => image.complete)")
    assert tab.run("[...document.images].filter(image => image.naturalWidth).length") == images > 0


def test_page_errors_are_detected(open_browser: Tab, report: Path, tmp_path: Path) -> None:
    """A broken script, and a request to another host, which the page's security policy blocks."""
    faults = '<script>nothing.there()</script><img src="http://a.b/c.png">'
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text(encoding="utf-8").replace("</main>", f"{faults}</main>"), encoding="utf-8")
    open_browser.open(broken.as_uri())
    assert "nothing is not defined" in str(open_browser.faults) and "http://a.b" in str(open_browser.faults)


def test_filters_show_the_matching_lists(tab: Tab, report: Path) -> None:
    articles = Page(report.read_text(encoding="utf-8")).attributes("article")
    found = tab.run(FILTERS)
    assert len(found) == 24
    for *choice, visible, count in found:
        keys = dict(zip(("data-group", "data-first", "data-camera"), choice, strict=True))
        matching = [
            index
            for index, attributes in enumerate(articles)
            if all(value in ("", attributes[key]) for key, value in keys.items())
        ]
        assert visible == matching and count == f"{len(matching)} of 5 lists"
    assert {len(visible) for *_, visible, _ in found} >= {0, 1, 2, 5}


def test_focusable_elements_show_the_focus_in_page_order(tab: Tab) -> None:
    elements = tab.run(FOCUS)
    assert {tag for tag, *_ in elements} >= {"INPUT", "SELECT", "SUMMARY"}
    for tag, focused, outline, width, index, area in elements:
        assert focused and outline != "none" and width >= 2 and index <= 0 and area > 0, tag


@pytest.mark.parametrize(("size", "phone"), [(PHONE, True), ((390, 800), True), (TABLET, True), (DESKTOP, False)])
def test_nothing_scrolls_sideways_or_is_cut(tab: Tab, size: tuple[int, int], phone: bool) -> None:
    """Tables, commands and pictures included, also a table of 14 columns."""
    tab.window(*size, phone=phone)
    page_width, window_width, wide, scrolling = tab.run(WIDTHS)
    assert page_width <= window_width == size[0]
    assert (wide, scrolling) == (0, 0)


@pytest.mark.parametrize(("size", "phone"), [(PHONE, True), (TABLET, True), (DESKTOP, False)])
def test_the_page_of_answers_fits_and_its_filters_work(
    open_browser: Tab, answers: Path, size: tuple[int, int], phone: bool
) -> None:
    open_browser.window(*size, phone=phone)
    open_browser.faults.clear()
    open_browser.open(answers.as_uri())
    page_width, window_width, wide, scrolling = open_browser.run(WIDTHS)
    assert page_width <= window_width == size[0] and (wide, scrolling) == (0, 0)
    shown = [int(count.split()[0]) for count in open_browser.run(ANSWER_FILTERS)]
    verdicts = [one["data-verdict"] for one in Page(answers.read_text(encoding="utf-8")).attributes("article")]
    assert shown == [5, verdicts.count("accepted"), verdicts.count("refused"), 5, 5]
    assert open_browser.faults == []


@pytest.mark.parametrize(("size", "columns"), [((390, 800), 2), (DESKTOP, 4)])
def test_lists_are_full_rows_with_rank_numbers(tab: Tab, size: tuple[int, int], columns: int) -> None:
    tab.window(*size, phone=size[0] < 500)
    lists = tab.run(ROWS)
    assert len(lists) == 5
    for lefts, rows, count, ranks in lists:
        assert count == 8 and lefts == columns and rows == count // columns
        assert ranks == [str(rank) for rank in range(1, count + 1)]


@pytest.mark.parametrize("dark", [False, True])
def test_text_contrast_in_light_and_dark_mode(tab: Tab, dark: bool) -> None:
    tab.window(*DESKTOP, dark=dark)
    background, inks = tab.run(COLOURS)
    assert (luminance(background) < 0.1) == dark
    for ink in inks:
        bright, dim = sorted((luminance(ink), luminance(background)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= READABLE, ink
