"""Boxes, their keys and text in pictures."""

import numpy as np
import pytest
from PIL import Image

from data_cache.images.drawing import (
    DARK,
    HUES,
    KEY_HEIGHT,
    Mark,
    draw_boxes,
    draw_keys,
    escape_invisible,
    part_colour,
    text_width,
    truncate_start,
    wrap_text,
)

GREY = (90, 91, 92)
RED = (255, 10, 20)
LONG = "images/train/0123/a-very-long-name-of-a-photograph.jpg"


def drawn(marks: list[Mark], scale: float = 1.0) -> np.ndarray:
    return np.asarray(draw_boxes(Image.new("RGB", (120, 100), GREY), marks, scale))


def of_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=-1)


def test_box_is_outlined_inside_its_edges_at_the_given_scale() -> None:
    red = of_colour(drawn([Mark((10, 20, 30, 25), RED)], scale=2.0), RED)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 49, 20, 59)
    assert red.sum() == 2 * 40 + 2 * 8


def test_dashed_box_alternates_with_dark() -> None:
    picture = drawn([Mark((10, 10, 42, 42), RED, dashed=True)])
    assert [int(of_colour(picture[10, 10:42], colour).sum()) for colour in (RED, DARK)] == [17, 15]  # right edge: red
    assert of_colour(picture[9], GREY).all()


@pytest.mark.parametrize(
    ("box", "left", "top"),
    [
        ((40, 40, 60, 60), 40, 40 - KEY_HEIGHT),  # above the box
        ((40, 3, 60, 30), 40, 3),  # no space above: inside
        ((115, 40, 119, 60), 120 - 10, 40 - KEY_HEIGHT),  # kept inside the picture
    ],
)
def test_key_position(box: tuple[float, float, float, float], left: int, top: int) -> None:
    picture = Image.new("RGB", (120, 100), GREY)
    rows, columns = np.nonzero(~of_colour(np.asarray(draw_keys(picture, [Mark(box, RED, "7")], 1.0)), GREY))
    assert (columns.min(), columns.max() + 1) == (left, left + 10)
    assert (rows.min(), rows.max() + 1) == (top, top + KEY_HEIGHT)
    assert of_colour(np.asarray(picture), GREY).all()  # the given picture is not changed


def test_only_a_mark_with_a_key_gets_one() -> None:
    without, with_key = ([Mark((40, 40, 60, 60), RED, key)] for key in ("", "7"))
    assert of_colour(drawn(without), RED).sum() == 2 * 20 + 2 * 18
    assert of_colour(drawn(with_key), RED).sum() > 2 * 20 + 2 * 18 + 50


def test_first_key_is_on_top() -> None:
    picture = drawn([Mark((40, 40, 60, 60), RED, "1"), Mark((40, 40, 60, 60), (1, 255, 1), "2")])
    key = picture[40 - KEY_HEIGHT : 39, 40:50]  # above the outline's dark edge
    assert of_colour(key, RED).any() and not of_colour(key, (1, 255, 1)).any()


def test_keys_of_close_boxes_do_not_overlap_and_stay_in_the_picture() -> None:
    """Filled pixels of each key, in its own colour, found in the picture with all of them."""
    boxes = [(40, 40, 52, 52), (44, 40, 56, 52), (42, 42, 50, 50)]
    marks = [Mark(box, (250, 10 * row, 5), "0.87") for row, box in enumerate(boxes)]
    together = np.asarray(draw_keys(Image.new("RGB", (120, 100), GREY), marks, 1.0))
    for mark in marks:
        alone = of_colour(np.asarray(draw_keys(Image.new("RGB", (120, 100), GREY), [mark], 1.0)), mark.colour).sum()
        assert of_colour(together, mark.colour).sum() == alone > 100


def test_a_key_without_a_free_place_is_below_the_others_or_left_out() -> None:
    marks = [Mark((0, 0, 30, 12), (250, 10 * row, 5), "longer") for row in range(3)]
    whole = Image.new("RGB", (40, 14), GREY)
    assert of_colour(np.asarray(draw_keys(whole, marks, 1.0)), marks[0].colour).any()
    only = np.asarray(draw_keys(whole, marks, 1.0, only_free=True))
    assert np.array_equal(only, np.asarray(draw_keys(whole, marks[:1], 1.0)))


def test_every_part_has_a_different_colour() -> None:
    assert len({part_colour(label) for label in range(HUES)}) == HUES


@pytest.mark.parametrize("width", [40, 90, 200])
def test_truncated_text_keeps_as_much_of_its_end_as_fits(width: int) -> None:
    assert truncate_start("a.jpg", width, 12) == "a.jpg"
    shown = truncate_start(LONG, width, 12)
    assert shown.startswith("…") and LONG.endswith(shown[1:]) and len(shown) > 3
    assert text_width(shown, 12) <= width < text_width(f"…{LONG[-len(shown) :]}", 12)


@pytest.mark.parametrize("text", ["a few short words that are wrapped", LONG, f"damaged: {LONG} (truncated)", ""])
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    lines = wrap_text(text, 80, 12)
    assert all(text_width(line, 12) <= 80 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_break_between_words() -> None:
    assert wrap_text("one two", 1000, 12) == ["one two"]
    assert wrap_text("wheel plate", round(text_width("wheel plat", 12)), 12) == ["wheel", "plate"]


@pytest.mark.parametrize("text", ["plain", "ü 汽车 🚗", "two\nlines\tand a tab", "<b>&"])
def test_visible_text_is_not_escaped(text: str) -> None:
    assert escape_invisible(text) == text


@pytest.mark.parametrize(
    "character", ["\0", "\x1b", "\x7f", "\x9b", "\u200b", "\u202e", "\u2028", "\u2067", "\ufeff", "\ud800"]
)
def test_invisible_characters_are_escaped(character: str) -> None:
    shown = escape_invisible(f"a{character}b")
    assert shown == f"a{ascii(character)[1:-1]}b" and shown.isascii()
