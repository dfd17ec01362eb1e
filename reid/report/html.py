"""What the HTML pages have in common: templates that escape, pictures as data URIs, full rows, ordered lists."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_cache.images.drawing import escape_invisible
from reid.report.pictures.thumbnails import encode_jpeg

TEMPLATES = Path(__file__).with_name("templates")
COLUMNS = (3, 4, 5, 6)  # images side by side on a wide screen
WHOLE = re.compile("-?[0-9]{1,18}")  # longer ones are text: Python refuses to read thousands of digits


@dataclass(frozen=True)
class PageImage:
    """An image on the page: data URI, size in pixels, and caption."""

    source: str
    width: int
    height: int
    text: str = ""


def page_image(image: Image.Image, text: str = "") -> PageImage:
    """Return a picture as it stands on a page, as a JPEG, with a caption."""
    return PageImage(_data_uri(encode_jpeg(image), "image/jpeg"), image.width, image.height, text)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def full_rows(count: int, columns: Sequence[int] = COLUMNS) -> int:
    """Return the number of columns that leaves the fewest gaps for `count` images, the one closest to 4 of several.

    >>> [full_rows(count) for count in (2, 5, 7, 8, 9, 12)]
    [2, 5, 4, 4, 3, 4]
    """
    if count < min(columns):
        return max(count, 1)
    return min(columns, key=lambda number: (-count % number, abs(number - 4)))


def in_order(values: Iterable[str]) -> list[str]:
    """Return what a list of a page offers: whole numbers by their value, then other text.

    >>> in_order(["11", "left", "2", "-1", "1.5", "1"])
    ['-1', '1', '2', '11', '1.5', 'left']
    """
    return sorted(values, key=lambda value: (0, int(value), value) if WHOLE.fullmatch(value) else (1, 0, value))


def render_page(template: Path, **content: Any) -> str:
    """Return the rendered page of a template, which may include others from its folder.

    Everything is escaped unless the template marks it safe: file names and ids come from data sets.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escape_untrusted,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**content)


def _escape_untrusted(value: Any) -> Any:
    """Return a plain string with invisible characters escaped; Markup, marked safe, is a subclass and stays."""
    return escape_invisible(value) if type(value) is str else value
