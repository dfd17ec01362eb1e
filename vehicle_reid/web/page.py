"""The page's HTML, rendered for a gallery, and its style sheet and scripts."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reid.report.page import TEMPLATE as REPORT
from reid.report.page import render_page

HERE = Path(__file__).parent
TEMPLATE = "page.html.jinja"
REPORT_STYLE = "report_style.html.jinja"
STYLE = "page.css"
ASSETS = {
    STYLE: "text/css",
    **dict.fromkeys(("main.js", "pictures.js", "picker.js", "server.js"), "text/javascript"),
}
VIEWS = {"photo": "photograph", "Fg": "heatmap of Fg", "Fp": "heatmap of Fp", "added": "heatmap of Fp - Fg"}
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class PageInfo:
    """What the page displays about the run and its gallery.

    `views` are the available pictures of a photo, keys of `VIEWS`; `attention` is the network's
    (`reid.recipes.Attention`); `upload_limit` is in bytes; `problems` are shown at the top.
    """

    run: str
    images: int
    cameras: tuple[int, ...]
    views: tuple[str, ...]
    attention: str
    upload_limit: int = 20 * MEGABYTE
    problems: tuple[str, ...] = ()


def render(info: PageInfo) -> str:
    """Return the page's HTML."""
    return render_page(HERE / TEMPLATE, info=info, views=VIEWS, megabytes=info.upload_limit / MEGABYTE)


@cache
def asset(name: str) -> str:
    """Return the text of one of `ASSETS`; the style sheet extends the report's."""
    text = (HERE / name).read_text(encoding="utf-8")
    if name != STYLE:
        return text
    report = REPORT.with_name(REPORT_STYLE).read_text(encoding="utf-8").strip()
    return report.removeprefix("<style>").removesuffix("</style>") + text
