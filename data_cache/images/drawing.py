"""Boxes drawn into a picture, each with a short key beside it that hides no other key and as little as can be."""

import re
from collections.abc import Iterator, Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cache
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
Edges = tuple[int, int, int, int]

DARK, QUIET, LIGHT = (24, 24, 26), (176, 178, 184), (240, 240, 242)
KEY_SIZE = 10
KEY_HEIGHT = 12  # pixels
RINGS = 3  # how far from its box a key may stand, in heights of a key
DASH = 4
HUES = 16
# what a reader does not see, what turns other letters round, and halves of characters; tab and line feed may stay
UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return `text` with every character that would not be seen as its escape.

    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font at that size in pixels."""
    return ImageFont.load_default(size)


def width_of(text: str, size: int) -> float:
    """Return how wide `text` is at a font size, both in pixels."""
    return font(size).getlength(text)


def fitting(text: str, width: int, size: int) -> str:
    """Return `text`, without its beginning where it is wider than `width` pixels: the end of a path tells the most."""
    shown, start = text, 0
    while width_of(shown, size) > width and start < len(text):
        start += 1
        shown = f"…{text[start:]}"
    return shown


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Return `text` in lines of at most `width` pixels, broken between words, and inside words that are wider."""
    lines = [""]
    for word in text.split():
        if lines[-1] and width_of(f"{lines[-1]} {word}", size) > width:
            lines.append("")
        elif lines[-1]:
            lines[-1] += " "
        for letter in word:
            if lines[-1] and width_of(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines


@dataclass(frozen=True)
class Mark:
    """A box, xyxy in pixels of its image. `key` stands beside it, and before `text` in a list; without one, neither."""

    box: Rectangle
    colour: Colour
    key: str = ""
    text: str = ""
    tone: Colour = LIGHT  # of the text
    dashed: bool = False


def part_colour(label: int) -> Colour:
    """Return the colour of a part's boxes; neighbours in the list of parts get hues far apart."""
    red, green, blue = hsv_to_rgb(7 * label % HUES / HUES, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(picture: Image.Image, marks: Sequence[Mark], scale: float) -> Image.Image:
    """Return `picture` with the marks drawn; `scale` is its size, of the image that the boxes were measured in."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    for mark in marks:
        (_dashed if mark.dashed else _solid)(draw, _edges(mark.box, scale), mark.colour)
    return draw_keys(picture, marks, scale)


def draw_keys(picture: Image.Image, marks: Sequence[Mark], scale: float) -> Image.Image:
    """Return `picture` with the keys of the marks that have one, and no boxes; the first gets the best place."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    keyed = [(mark, _edges(mark.box, scale)) for mark in marks if mark.key]
    placed: list[Rectangle] = []
    for mark, box in keyed:
        corner = _free_place(mark.key, box, [other for _, other in keyed], placed, picture.size)
        placed.append(_key_at(corner, mark.key))
        draw_key(draw, corner, mark)
    return picture


def draw_key(draw: ImageDraw.ImageDraw, corner: tuple[float, float], mark: Mark) -> None:
    """Draw a mark's key with its upper left corner there: filled for a solid box, framed for a dashed one."""
    area = _key_at(corner, mark.key)
    middle = ((area[0] + area[2]) / 2, (area[1] + area[3]) / 2)
    draw.rectangle(
        (*area[:2], area[2] - 1, area[3] - 1), fill=DARK if mark.dashed else mark.colour, outline=mark.colour
    )
    draw.text(middle, mark.key, fill=mark.colour if mark.dashed else DARK, font=font(KEY_SIZE), anchor="mm")


def _edges(box: Rectangle, scale: float) -> Edges:
    """Return the first and the last column and row of a box, one pixel at least."""
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)


def _solid(draw: ImageDraw.ImageDraw, box: Edges, colour: Colour) -> None:
    """Draw a line along the edge inside, and a dark one outside, so that it shows on any ground."""
    x0, y0, x1, y1 = box
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=DARK)
    draw.rectangle(box, outline=colour)


def _dashed(draw: ImageDraw.ImageDraw, box: Edges, colour: Colour) -> None:
    """Draw dashes along the edge inside, in turn with dark ones."""
    x0, y0, x1, y1 = box
    for (start, stop), shade in zip(_dashes(x0, x1), cycle((colour, DARK)), strict=False):
        draw.line((start, y0, stop, y0), fill=shade)
        draw.line((start, y1, stop, y1), fill=shade)
    for (start, stop), shade in zip(_dashes(y0, y1), cycle((colour, DARK)), strict=False):
        draw.line((x0, start, x0, stop), fill=shade)
        draw.line((x1, start, x1, stop), fill=shade)


def _dashes(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((place, min(place + DASH - 1, stop)) for place in range(start, stop + 1, DASH))


def _key_at(corner: tuple[float, float], key: str) -> Rectangle:
    return (*corner, corner[0] + max(9.0, width_of(key, KEY_SIZE) + 4), corner[1] + KEY_HEIGHT)


def _free_place(
    key: str, box: Rectangle, boxes: Sequence[Rectangle], placed: Sequence[Rectangle], size: tuple[int, int]
) -> tuple[float, float]:
    """Return the corner near `box` where a key hides the least: other keys above all, then the smaller boxes."""
    width = _key_at((0, 0), key)[2]

    def cost(candidate: tuple[int, float, float]) -> float:
        away, left, top = candidate
        area = _key_at((left, top), key)
        return (
            100 * sum(_covered(other, area) for other in placed) + sum(_covered(other, area) for other in boxes) + away
        )

    inside = [(0, left, top) for left in (box[0], box[2] - width) for top in (box[1], box[3] - KEY_HEIGHT)]
    rings = [(away, left, top) for away in range(RINGS) for left, top in _around(box, width, away * KEY_HEIGHT)]
    candidates = [
        (away, round(min(max(left, 0), size[0] - width)), round(min(max(top, 0), size[1] - KEY_HEIGHT)))
        for away, left, top in rings + inside
    ]
    _, left, top = min(candidates, key=cost)
    return left, top


def _around(box: Rectangle, width: float, distance: int) -> Iterator[tuple[float, float]]:
    """Yield the corners of keys that stand that many pixels outside `box`, those above and below first."""
    x0, y0, x1, y1 = box[0] - distance, box[1] - distance, box[2] + distance, box[3] + distance
    above, below, before, after = y0 - KEY_HEIGHT - 1, y1 + 1, x0 - width - 1, x1 + 1
    for left in (x0, x1 - width, (x0 + x1 - width) / 2):
        yield from ((left, above), (left, below))
    for top in (y0, y1 - KEY_HEIGHT, (y0 + y1 - KEY_HEIGHT) / 2, above, below):
        yield from ((before, top), (after, top))


def _covered(box: Rectangle, by: Rectangle) -> float:
    """Return the share of `box` that `by` covers."""
    width = max(0.0, min(box[2], by[2]) - max(box[0], by[0]))
    height = max(0.0, min(box[3], by[3]) - max(box[1], by[1]))
    return width * height / max((box[2] - box[0]) * (box[3] - box[1]), 1.0)
