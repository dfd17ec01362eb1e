"""Part boxes drawn into pictures, each with a short key, and text that fits its space."""

import re
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

DARK, QUIET, LIGHT = (24, 24, 26), (176, 178, 184), (240, 240, 242)
KEY_SIZE = 10
KEY_HEIGHT = 12  # pixels
DASH = 4  # pixels
HUES = 16
# invisible characters, those that reverse the text direction, and lone surrogates; tab and line feed are allowed
INVISIBLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Mark:
    """A box to draw, xyxy in pixels of the original image; `key` is drawn beside it and before `text` in a legend."""

    box: Rectangle
    colour: Colour
    key: str = ""
    text: str = ""
    text_colour: Colour = LIGHT
    dashed: bool = False


def part_colour(label: int) -> Colour:
    """Return the colour of a part's boxes; neighbours in the list of parts get distant hues."""
    red, green, blue = hsv_to_rgb(7 * label % HUES / HUES, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(picture: Image.Image, marks: Sequence[Mark], scale: float) -> Image.Image:
    """Return a copy of `picture` with boxes and keys; `scale` converts box coordinates to its pixels."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    for mark in marks:
        x0, y0, x1, y1 = _pixel_edges(mark.box, scale)
        if mark.dashed:
            _draw_dashed(draw, (x0, y0, x1, y1), mark.colour)
        else:
            draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=DARK)  # contrast on bright pictures
            draw.rectangle((x0, y0, x1, y1), outline=mark.colour)
    return draw_keys(picture, marks, scale)


def draw_keys(
    picture: Image.Image, marks: Sequence[Mark], scale: float, *, only_free: bool = False, size: int = KEY_SIZE
) -> Image.Image:
    """Return a copy of `picture` with the keys alone, each above its box, or at another side where keys would overlap.

    If no side is free, the key of the earlier mark is on top; with `only_free` the later one is left out.
    """
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    placed: list[tuple[tuple[int, int], Mark]] = []
    taken: list[tuple[int, int, int, int]] = []
    for mark in marks:
        if not mark.key:
            continue
        width, height = _key_width(mark.key, size), _key_height(size)
        corners = _key_corners(_pixel_edges(mark.box, scale), (width, height), picture.size)
        areas = [(left, top, left + width, top + height) for left, top in corners]
        free = [area for area in areas if not any(_overlap(area, other) for other in taken)]
        if free or not only_free:
            taken.append((free or areas)[0])
            placed.append((taken[-1][:2], mark))
    for corner, mark in reversed(placed):
        draw_key(draw, corner, mark, size)
    return picture


def _key_corners(
    edges: tuple[int, int, int, int], key: tuple[int, int], picture: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the places for a key, its upper left corner, best first: above its box, below, right, left, inside.

    At the upper edge of the picture, where nothing fits above, inside comes first.
    """
    (x0, y0, x1, y1), (width, height) = edges, key
    starts = [x0, x1 + 1 - width]  # from the left edge on, or up to the right edge
    places = [(x0, y0)] if y0 < height else []
    places += [(x, y) for y in (y0 - height, y1 + 1) for x in starts]
    places += [(x, y0) for x in (x1 + 1, x0 - width, x0)]
    inside = [(max(0, min(x, picture[0] - width)), y) for x, y in places if 0 <= y <= picture[1] - height]
    return inside or [(max(0, min(x0, picture[0] - width)), y0)]


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def draw_key(draw: ImageDraw.ImageDraw, corner: tuple[int, int], mark: Mark, size: int = KEY_SIZE) -> None:
    """Draw a mark's key with its top left corner at `corner`: filled for a solid box, outlined for a dashed one."""
    (left, top), width, height = corner, _key_width(mark.key, size), _key_height(size)
    ground, ink = (DARK, mark.colour) if mark.dashed else (mark.colour, DARK)
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=ground, outline=mark.colour)
    draw.text((left + width / 2, top + height / 2), mark.key, fill=ink, font=font(size), anchor="mm")


def _key_width(key: str, size: int = KEY_SIZE) -> int:
    return max(9, round(text_width(key, size)) + 4)


def _key_height(size: int) -> int:
    return size + KEY_HEIGHT - KEY_SIZE


def _pixel_edges(box: Rectangle, scale: float) -> tuple[int, int, int, int]:
    """Return the first and last column and row of a scaled box, which is at least one pixel wide and high."""
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)


def _draw_dashed(draw: ImageDraw.ImageDraw, edges: tuple[int, int, int, int], colour: Colour) -> None:
    x0, y0, x1, y1 = edges
    draw.rectangle(edges, outline=DARK)
    for x in range(x0, x1 + 1, 2 * DASH):
        for y in (y0, y1):
            draw.line((x, y, min(x + DASH - 1, x1), y), fill=colour)
    for y in range(y0, y1 + 1, 2 * DASH):
        for x in (x0, x1):
            draw.line((x, y, x, min(y + DASH - 1, y1)), fill=colour)


def escape_invisible(text: str) -> str:
    r"""Return `text` with every invisible character replaced by its escape.

    >>> escape_invisible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's default font at a size in pixels."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> float:
    """Return the width of `text` in pixels at a font size."""
    return font(size).getlength(text)


def truncate_start(text: str, width: int, size: int) -> str:
    """Return `text`, cut at its start if it is wider than `width` pixels: the end of a path says the most."""
    shown, start = text, 0
    while text_width(shown, size) > width and start < len(text):
        start += 1
        shown = f"…{text[start:]}"
    return shown


def wrap_text(text: str, width: int, size: int) -> list[str]:
    """Return `text` in lines of at most `width` pixels, broken between words, and inside words that are wider."""
    lines = [""]
    for word in text.split():
        if lines[-1] and text_width(f"{lines[-1]} {word}", size) > width:
            lines.append("")
        elif lines[-1]:
            lines[-1] += " "
        for letter in word:
            if lines[-1] and text_width(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines
