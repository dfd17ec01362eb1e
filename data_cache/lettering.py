"""The letters in drawn pictures: one font, and text fitted to a width."""

import re
from functools import cache

from PIL import ImageFont

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
