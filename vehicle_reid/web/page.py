"""The page's HTML, rendered for a gallery, and its style sheet and scripts."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from data_cache.images.loading import HEIF_SUFFIXES, KINDS, SUFFIXES
from reid.report.html import TEMPLATES, render_page
from reid.report.pictures.covering import MEANING
from vehicle_reid.web.choices import Choices

CLIENT = Path(__file__).with_name("client")
TEMPLATE = "page.html.jinja"
REPORT_STYLE = "report_style.html.jinja"
STYLE = "page.css"
SCRIPTS = (
    "main.js",
    "api.js",
    "batch.js",
    "exports.js",
    "filters.js",
    "marks.js",
    "picker.js",
    "pictures.js",
    "rectangle.js",
    "server.js",
)
ASSETS = {STYLE: "text/css", **dict.fromkeys(SCRIPTS, "text/javascript")}
IMAGE_SUFFIXES = SUFFIXES + HEIF_SUFFIXES  # files of a dropped folder that are searched with
MEGABYTE = 1_000_000


class View(NamedTuple):
    """A picture of a photo: its name on the page, and what it shows."""

    name: str
    meaning: str


@dataclass(frozen=True)
class PageInfo:
    """What the page displays about the run and its gallery.

    `views` are the available pictures of a photo, keys of `views_of`; `attention` is the network's
    (`reid.recipes.Attention`); `hidden` are the parts that it does not see; `upload_limit` is in bytes; `problems` are
    shown at the top.
    """

    run: str
    images: int
    cameras: tuple[int, ...]
    views: tuple[str, ...]
    attention: str
    upload_limit: int = 20 * MEGABYTE
    problems: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def views_of(attention: str) -> dict[str, View]:
    """Return the pictures of a photo by their keys in URLs, in the words for a network with that attention."""
    regions = "cells of the grid" if attention == "grid" else "parts"
    return {
        "photo": View("photograph", "the photo alone"),
        "covered": View(
            "what the score depends on",
            "each square is covered with grey in turn, and the score with the best match (side by side: with the other "
            f"photo) is computed again; {MEANING}",
        ),
        "response": View(
            "response of the network",
            "where the network responds to the photo, before the attention: the mean over the channels of its last "
            "feature map, blue for low and red for high",
        ),
        "with-parts": View(
            f"response with {regions}", f"the same after the attention has added the {regions}, in the same colours"
        ),
        "added": View(f"what the {regions} add", "the difference of the two, in colours of its own"),
    }


def render(info: PageInfo, gallery_id: str, choices: Choices, address: str) -> str:
    """Return the HTML, with filters of `choices`; the browser remembers marks for the gallery of that id.

    `address` is the server's URL.
    """
    return render_page(
        CLIENT / TEMPLATE,
        info=info,
        gallery_id=gallery_id,
        choices=choices,
        address=address,
        views={key: view for key, view in views_of(info.attention).items() if key in info.views},
        megabytes=info.upload_limit / MEGABYTE,
        kinds=KINDS,
        suffixes=",".join(IMAGE_SUFFIXES),
    )


@cache
def asset(name: str) -> str:
    """Return the text of one of `ASSETS`; the style sheet extends the report's."""
    text = (CLIENT / name).read_text(encoding="utf-8")
    if name != STYLE:
        return text
    report = render_page(TEMPLATES / REPORT_STYLE).partition("<style>")[2].partition("</style>")[0]
    return report + text
