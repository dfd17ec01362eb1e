"""Contact sheets: pictures in a grid, their boxes numbered, and beside each picture a list of what the numbers mean.

The names stand in a list, not on the picture, because parts are small and close: names on them hide what is to be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_cache.base.files import replacing
from data_cache.images.drawing import DARK, LIGHT, QUIET, Mark, draw_boxes, draw_key, fitting, font, wrapped

LINE = 16  # pixels
GAP = 10
TEXT_SIZE = 12
PICTURE, NAMES = (340, 270), 176  # pixels of a sheet's cell: room for the picture, and for the list beside it
FAILED = (72, 72, 76)
ASPECT = 1.3  # of a sheet, about that of a screen


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture (H, W, 3) uint8 RGB and its marks, or the reason why there is none, below a caption."""

    image: NDArray[np.uint8] | None
    marks: tuple[Mark, ...] = ()
    caption: tuple[str, ...] = ()
    reason: str = ""


def write_sheet(cells: Sequence[Cell], target: Path, title: Sequence[str]) -> Path:
    """Write a PNG of one or more cells below the lines of the title, in as many columns as suit a screen; return it.

    Raises UserError where the file cannot be written.
    """
    drawn = [draw_cell(cell) for cell in cells]
    width, height = max(image.width for image in drawn), max(image.height for image in drawn)
    columns = min(len(drawn), max(1, round(sqrt(ASPECT * len(drawn) * height / width))))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    full = columns * (width + GAP) + GAP
    lines = [line for text in title for line in wrapped(text, full - 2 * GAP, TEXT_SIZE)]
    top = GAP + LINE * len(lines) + GAP
    sheet = Image.new("RGB", (full, top + sum(max(image.height for image in row) + GAP for row in rows)), DARK)
    _write(sheet, (GAP, GAP), lines, LIGHT)
    for row in rows:
        for place, image in enumerate(row):
            sheet.paste(image, (GAP + place * (width + GAP), top))
        top += max(image.height for image in row) + GAP
    save_sheet(sheet, target)
    return target


def save_sheet(sheet: Image.Image, target: Path) -> None:
    """Write an image as PNG, whole or not at all. Raises UserError where it cannot be written."""
    with replacing(target) as temporary:
        sheet.save(temporary, "PNG")


def draw_cell(cell: Cell) -> Image.Image:
    """Return a cell drawn: caption, below it the picture fitted into PICTURE, at its right the list of its marks."""
    shown = _failure(cell.reason) if cell.image is None else draw_picture(cell.image, cell.marks, PICTURE)
    top, width = LINE * len(cell.caption), max(shown.width, NAMES) + NAMES
    listed = [mark for mark in cell.marks if mark.key]
    canvas = Image.new("RGB", (width, top + max(shown.height, LINE * len(listed))), DARK)
    _write(canvas, (0, 0), [fitting(line, width, TEXT_SIZE) for line in cell.caption])
    canvas.paste(shown, (0, top))
    draw_list(canvas, (shown.width + 8, top), listed)
    return canvas


def draw_picture(image: NDArray[np.uint8], marks: Sequence[Mark], limit: tuple[int, int]) -> Image.Image:
    """Return an image (H, W, 3) enlarged or reduced to fit into `limit` (width, height) pixels, with its marks."""
    picture = Image.fromarray(image)
    scale = min(limit[0] / picture.width, limit[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return draw_boxes(picture.resize(size, method), marks, scale)


def draw_list(image: Image.Image, corner: tuple[int, int], marks: Sequence[Mark]) -> None:
    """Draw keys and texts of the marks below each other into `image`, LINE pixels each, from `corner` (x, y) down."""
    draw = ImageDraw.Draw(image)
    for row, mark in enumerate(marks):
        draw_key(draw, (corner[0], corner[1] + LINE * row + 1), mark)
        draw.text((corner[0] + 24, corner[1] + LINE * row), mark.text, fill=mark.tone, font=font(TEXT_SIZE))


def _failure(reason: str) -> Image.Image:
    grey = Image.new("RGB", PICTURE, FAILED)
    _write(grey, (GAP, GAP), wrapped(reason, PICTURE[0] - 2 * GAP, TEXT_SIZE), LIGHT)
    return grey


def _write(
    image: Image.Image, corner: tuple[int, int], lines: Sequence[str], colour: tuple[int, int, int] = QUIET
) -> None:
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((corner[0], corner[1] + LINE * row), line, fill=colour, font=font(TEXT_SIZE))
