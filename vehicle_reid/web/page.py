"""The page itself: its HTML for a gallery, its style, which begins with the report's, and its scripts."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reid.report.page import TEMPLATE as REPORT
from reid.report.page import render_page

HERE = Path(__file__).parent
TEMPLATE = "page.html.jinja"
SHARED_STYLE = "report_style.html.jinja"
STYLE = "page.css"
ASSETS = {
    STYLE: "text/css",
    **dict.fromkeys(("main.js", "pictures.js", "picker.js", "server.js"), "text/javascript"),
}
HEADINGS = {"photo": "photograph", "Fg": "heat of Fg", "Fp": "heat of Fp", "added": "heat of Fp - Fg"}
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class About:
    """What the page tells of itself: the run, its gallery, and the largest upload in bytes.

    `kinds` are the pictures that there are of a photo, keys of `HEADINGS`; `weighs` is what the network's attention is
    over (`reid.recipes.Attention`); `problems` are told at the top.
    """

    run: str
    images: int
    cameras: tuple[int, ...]
    kinds: tuple[str, ...]
    weighs: str
    limit: int = 20 * MEGABYTE
    problems: tuple[str, ...] = ()


def rendered(about: About) -> str:
    """Return the page's HTML."""
    megabytes = about.limit / MEGABYTE
    return render_page(HERE / TEMPLATE, about=about, headings=HEADINGS, megabytes=megabytes)


@cache
def asset(name: str) -> str:
    """Return one of `ASSETS`. The style sheet is the report's with what this page has beside it."""
    own = (HERE / name).read_text(encoding="utf-8")
    if name != STYLE:
        return own
    shared = REPORT.with_name(SHARED_STYLE).read_text(encoding="utf-8").strip()
    return shared.removeprefix("<style>").removesuffix("</style>") + own
