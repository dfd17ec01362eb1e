"""Pictures in lines, as the paper's figures have them: a heading above each line, a caption below each picture."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, ImageDraw

from data_cache.base.files import sha256_of_bytes
from data_cache.images.drawing import font, visible, width_of, wrapped

GAP = 8  # pixels
APART = 20  # between the first column and the others
TITLE_SIZE, TEXT_SIZE = 16, 13
LINE = 20
INK, QUIET, GROUND = (31, 35, 40), (89, 99, 110), (255, 255, 255)
LONGEST_STEM = 60


@dataclass(frozen=True, eq=False)
class PictureLine:
    """Pictures beside each other, one at least, below a heading; each has a caption below it, or none has."""

    heading: str
    pictures: Sequence[Image.Image]
    captions: Sequence[str] = ()


def grid(title: str, blocks: Sequence[Sequence[PictureLine]]) -> Image.Image:
    """Return blocks of lines below a title, on white; columns are aligned in a block, the first of them set apart."""
    columns = [_lefts(block) for block in blocks]
    width = max(lefts[-1] for lefts in columns)
    head = _text(title, width, TITLE_SIZE, INK)
    drawn = [_line(line, lefts) for block, lefts in zip(blocks, columns, strict=True) for line in block]
    canvas = Image.new("RGB", (width, GAP + head.height + sum(one.height + GAP for one in drawn)), GROUND)
    canvas.paste(head, (0, GAP))
    top = GAP + head.height
    for one in drawn:
        canvas.paste(one, (0, top))
        top += one.height + GAP
    return canvas


def _lefts(lines: Sequence[PictureLine]) -> list[int]:
    """Return where each column begins, and where the last ends: as wide as its widest picture or caption."""
    widths = [0] * max(len(line.pictures) for line in lines)
    for line in lines:
        for column, (picture, caption) in enumerate(_cells(line)):
            widths[column] = max(widths[column], picture.width, round(width_of(caption, TEXT_SIZE)) + GAP)
    lefts = [GAP]
    for column, width in enumerate(widths):
        lefts.append(lefts[-1] + width + GAP + (APART if column == 0 and len(widths) > 1 else 0))
    return lefts


def _cells(line: PictureLine) -> list[tuple[Image.Image, str]]:
    captions = [" ".join(visible(caption).split()) for caption in line.captions] or [""] * len(line.pictures)
    return list(zip(line.pictures, captions, strict=True))


def _line(line: PictureLine, lefts: Sequence[int]) -> Image.Image:
    heading, tallest = _text(line.heading, lefts[-1], TEXT_SIZE, QUIET), max(one.height for one in line.pictures)
    height = heading.height + tallest + (LINE if line.captions else 0)
    canvas = Image.new("RGB", (lefts[-1], height), GROUND)
    canvas.paste(heading, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for (picture, caption), left in zip(_cells(line), lefts, strict=False):
        canvas.paste(picture, (left, heading.height))
        draw.text((left, heading.height + tallest + 2), caption, fill=INK, font=font(TEXT_SIZE))
    return canvas


def _text(text: str, width: int, size: int, colour: tuple[int, int, int]) -> Image.Image:
    """Return text broken into lines of that width."""
    lines = wrapped(visible(text), width - 2 * GAP, size)
    canvas = Image.new("RGB", (width, LINE * len(lines)), GROUND)
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        draw.text((GAP, LINE * row), line, fill=colour, font=font(size))
    return canvas


def picture_name(image: str) -> str:
    """Return the file name of an image's picture: what of its stem any system takes, and a hash of the whole name.

    >>> picture_name("images/0001 c02.jpg"), picture_name("../..")
    ('0001_c02-357600db.png', 'image-0cfd1c96.png')
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(image).stem).strip("_")[:LONGEST_STEM]
    return f"{stem or 'image'}-{sha256_of_bytes(image.encode(errors='replace'))[:8]}.png"
