"""Contact sheets: pictures with boxes in a grid, and beside each picture a legend of its boxes.

Part names are in the legend because parts are small and close together: names on the picture would hide them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_cache.base.files import replacing
from data_cache.images.drawing import (
    DARK,
    LIGHT,
    QUIET,
    Colour,
    Mark,
    draw_boxes,
    draw_key,
    font,
    truncate_start,
    wrap_text,
)

LINE_HEIGHT = 16  # pixels
KEY_SPACE = 32  # pixels from a legend's key to its text, enough for a confidence such as 0.87
GAP = 10
TEXT_SIZE = 12
PICTURE, LEGEND_WIDTH = (340, 270), 176  # pixels of a cell: largest picture, and the legend beside it
FAILED = (72, 72, 76)
ASPECT = 1.3  # width / height of a sheet, about that of a screen


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture (H, W, 3) uint8 RGB with its marks and caption; without a picture, the reason why it is missing."""

    image: NDArray[np.uint8] | None
    marks: tuple[Mark, ...] = ()
    caption: tuple[str, ...] = ()
    reason: str = ""


def write_sheet(cells: Sequence[Cell], target: Path, title: Sequence[str]) -> Path:
    """Write a PNG of one or more cells below the title lines, about as wide as a screen, and return its path.

    Raises UserError if the file cannot be written.
    """
    drawn = [draw_cell(cell) for cell in cells]
    width, height = max(image.width for image in drawn), max(image.height for image in drawn)
    columns = min(len(drawn), max(1, round(sqrt(ASPECT * len(drawn) * height / width))))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    full_width = columns * (width + GAP) + GAP
    lines = [line for text in title for line in wrap_text(text, full_width - 2 * GAP, TEXT_SIZE)]
    top = GAP + LINE_HEIGHT * len(lines) + GAP
    sheet = Image.new("RGB", (full_width, top + sum(max(image.height for image in row) + GAP for row in rows)), DARK)
    _draw_lines(sheet, (GAP, GAP), lines, LIGHT)
    for row in rows:
        for column, image in enumerate(row):
            sheet.paste(image, (GAP + column * (width + GAP), top))
        top += max(image.height for image in row) + GAP
    save_png(sheet, target)
    return target


def save_png(image: Image.Image, target: Path) -> None:
    """Write an image as PNG, atomically. Raises UserError if it cannot be written."""
    with replacing(target) as temporary:
        image.save(temporary, "PNG")


def draw_cell(cell: Cell) -> Image.Image:
    """Return a cell as an image: the caption on top, the picture fitted into PICTURE, its legend on the right."""
    picture = _failure(cell.reason) if cell.image is None else draw_picture(cell.image, cell.marks, PICTURE)
    top, width = LINE_HEIGHT * len(cell.caption), max(picture.width, LEGEND_WIDTH) + LEGEND_WIDTH
    listed = [mark for mark in cell.marks if mark.key]
    canvas = Image.new("RGB", (width, top + max(picture.height, LINE_HEIGHT * len(listed))), DARK)
    _draw_lines(canvas, (0, 0), [truncate_start(line, width, TEXT_SIZE) for line in cell.caption], QUIET)
    canvas.paste(picture, (0, top))
    draw_legend(canvas, (picture.width + 8, top), listed)
    return canvas


def draw_picture(image: NDArray[np.uint8], marks: Sequence[Mark], limit: tuple[int, int]) -> Image.Image:
    """Return an image (H, W, 3) with its marks, scaled to fit into `limit` (width, height) pixels."""
    picture = Image.fromarray(image)
    scale = min(limit[0] / picture.width, limit[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return draw_boxes(picture.resize(size, method), marks, scale)


def draw_legend(image: Image.Image, corner: tuple[int, int], marks: Sequence[Mark]) -> None:
    """Draw the keys and texts of marks into `image`, one per line of LINE_HEIGHT pixels, from `corner` (x, y) down."""
    draw = ImageDraw.Draw(image)
    left, top = corner
    for mark in marks:
        draw_key(draw, (left, top + 1), mark)
        draw.text((left + KEY_SPACE, top), mark.text, fill=mark.text_colour, font=font(TEXT_SIZE))
        top += LINE_HEIGHT


def _failure(reason: str) -> Image.Image:
    grey = Image.new("RGB", PICTURE, FAILED)
    _draw_lines(grey, (GAP, GAP), wrap_text(reason, PICTURE[0] - 2 * GAP, TEXT_SIZE), LIGHT)
    return grey


def _draw_lines(image: Image.Image, corner: tuple[int, int], lines: Sequence[str], colour: Colour) -> None:
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((corner[0], corner[1] + LINE_HEIGHT * row), line, fill=colour, font=font(TEXT_SIZE))
