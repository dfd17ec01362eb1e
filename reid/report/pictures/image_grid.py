"""Rows of images as in the paper's figures: a heading above each row, a caption below each image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, ImageDraw

from data_cache.base.files import sha256_of_bytes
from data_cache.images.drawing import escape_invisible, font, text_width, wrap_text

GAP = 8  # pixels
QUERY_GAP = 20  # additional pixels after the first column
TITLE_SIZE, TEXT_SIZE = 16, 13
LINE_HEIGHT = 20
TEXT, QUIET, BACKGROUND = (31, 35, 40), (89, 99, 110), (255, 255, 255)
MAX_STEM = 60


@dataclass(frozen=True, eq=False)
class ImageRow:
    """One or more images side by side below a heading, with a caption of one or more lines for each or for none."""

    heading: str
    images: Sequence[Image.Image]
    captions: Sequence[str] = ()


def draw_grid(title: str, blocks: Sequence[Sequence[ImageRow]]) -> Image.Image:
    """Return blocks of rows below a title; the columns of a block are aligned, the first is set apart."""
    columns = [_column_edges(block) for block in blocks]
    width = max(edges[-1] for edges in columns)
    head = _draw_text(title, width, TITLE_SIZE, TEXT)
    rows = [_draw_row(row, edges) for block, edges in zip(blocks, columns, strict=True) for row in block]
    canvas = Image.new("RGB", (width, GAP + head.height + sum(row.height + GAP for row in rows)), BACKGROUND)
    canvas.paste(head, (0, GAP))
    top = GAP + head.height
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height + GAP
    return canvas


def image_file_name(name: str) -> str:
    """Return a portable PNG file name for an image: its stem, shortened and sanitised, and a hash of the whole name.

    >>> image_file_name("images/0001 c02.jpg"), image_file_name("../..")
    ('0001_c02-357600db.png', 'image-0cfd1c96.png')
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(name).stem).strip("_")[:MAX_STEM]
    return f"{stem or 'image'}-{sha256_of_bytes(name.encode(errors='replace'))[:8]}.png"


def _column_edges(rows: Sequence[ImageRow]) -> list[int]:
    """Return the left edge of each column and the right end; a column fits its widest image or caption."""
    widths = [0] * max(len(row.images) for row in rows)
    for row in rows:
        for column, (image, caption) in enumerate(_cells(row)):
            longest = max((round(text_width(line, TEXT_SIZE)) + GAP for line in caption), default=0)
            widths[column] = max(widths[column], image.width, longest)
    edges = [GAP]
    for column, width in enumerate(widths):
        edges.append(edges[-1] + width + GAP + (QUERY_GAP if column == 0 and len(widths) > 1 else 0))
    return edges


def _cells(row: ImageRow) -> list[tuple[Image.Image, list[str]]]:
    """Return the images with the lines of their captions."""
    captions = row.captions or [""] * len(row.images)
    lines = [[" ".join(line.split()) for line in escape_invisible(caption).split("\n")] for caption in captions]
    return list(zip(row.images, lines, strict=True))


def _draw_row(row: ImageRow, edges: Sequence[int]) -> Image.Image:
    heading, tallest = _draw_text(row.heading, edges[-1], TEXT_SIZE, QUIET), max(image.height for image in row.images)
    height = (
        heading.height + tallest + (LINE_HEIGHT * max(len(lines) for _, lines in _cells(row)) if row.captions else 0)
    )
    canvas = Image.new("RGB", (edges[-1], height), BACKGROUND)
    canvas.paste(heading, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for (image, caption), left in zip(_cells(row), edges, strict=False):
        canvas.paste(image, (left, heading.height))
        for number, line in enumerate(caption):
            top = heading.height + tallest + 2 + LINE_HEIGHT * number
            draw.text((left, top), line, fill=QUIET if number else TEXT, font=font(TEXT_SIZE))
    return canvas


def _draw_text(text: str, width: int, size: int, colour: tuple[int, int, int]) -> Image.Image:
    lines = wrap_text(escape_invisible(text), width - 2 * GAP, size)
    canvas = Image.new("RGB", (width, LINE_HEIGHT * len(lines)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((GAP, LINE_HEIGHT * number), line, fill=colour, font=font(size))
    return canvas
