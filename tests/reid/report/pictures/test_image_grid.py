"""The image grid: every image is complete, columns are aligned, and file names are safe for any image name."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from reid.report.pictures.image_grid import GAP, LINE_HEIGHT, QUERY_GAP, ImageRow, draw_grid, image_file_name

COLOURS = [(250, 10 * number, 0) for number in range(20)]


def image(number: int, width: int = 60, height: int = 40) -> Image.Image:
    return Image.new("RGB", (width, height), COLOURS[number])


def position(number: int, canvas: np.ndarray[Any, Any]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of an image, found by its colour."""
    rows, columns = np.nonzero((canvas == COLOURS[number]).all(axis=2))
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    assert len(rows) == width * height  # nothing covers it
    return left, top, width, height


def test_images_are_complete_and_their_columns_aligned() -> None:
    first = ImageRow("one", [image(0), image(1, 90), image(2, 30, 70)], ["a", "b", "c"])
    second = ImageRow("two", [image(3), image(4), image(5)])
    canvas = np.asarray(draw_grid("title", [[first, second]]))
    positions = [position(number, canvas) for number in range(6)]
    assert [size for _, _, *size in positions] == [[60, 40], [90, 40], [30, 70], [60, 40], [60, 40], [60, 40]]
    lefts, tops = [left for left, *_ in positions], [top for _, top, *_ in positions]
    assert lefts[:3] == lefts[3:]
    assert lefts[1] - lefts[0] - 60 == GAP + QUERY_GAP and lefts[2] - lefts[1] - 90 == GAP
    assert tops[3] > tops[2] + 70


def test_each_block_has_its_own_columns() -> None:
    blocks = [[ImageRow("", [image(0, 150), image(1)])], [ImageRow("", [image(2, 20), image(3)])]]
    canvas = np.asarray(draw_grid("", blocks))
    assert position(1, canvas)[0] > 150 > position(3, canvas)[0]


def test_a_column_is_as_wide_as_its_caption() -> None:
    rows = [ImageRow("", [image(0, 10), image(1, 10)], ["a caption that is wider than its image", "b"])]
    canvas = np.asarray(draw_grid("", [rows]))
    second = position(1, canvas)[0]
    assert second > 150
    below = canvas[position(0, canvas)[1] + 40 :]
    columns = np.flatnonzero((below < 120).all(axis=2).any(axis=0))
    assert GAP <= columns.min() and columns.max() < canvas.shape[1]
    assert not ((columns > second - GAP) & (columns < second)).any()


def test_captions_of_several_lines_are_below_each_other() -> None:
    one, three = (
        np.asarray(draw_grid("", [[ImageRow("", [image(0, 90)], [caption])]])) for caption in ("a", "a\nwhole\nwheel")
    )
    assert len(three) - len(one) == 2 * LINE_HEIGHT and position(0, one) == position(0, three)
    for line in range(3):
        top = position(0, three)[1] + 40 + LINE_HEIGHT * line
        assert (three[top : top + LINE_HEIGHT] < 150).any()


def test_long_titles_and_strange_characters_stay_on_the_canvas() -> None:
    rows = [ImageRow("heading " * 40, [image(0, 300)], ["line\nfeed\x1b"])]
    canvas = np.asarray(draw_grid("x" * 400 + "\u202e\ud800", [rows]))
    assert position(0, canvas)[2:] == (300, 40)
    assert (canvas[:, -2:] == 255).all()


@pytest.mark.parametrize(
    "name",
    [
        "a/b.jpg",
        "../../etc/passwd",
        "..",
        ".hidden.png",
        "a\0b.jpg",
        "x" * 300 + ".jpg",
        "汽车/一.jpg",
        "<b>&\"'.jpg",
        "",
        "\ud800",
    ],
)
def test_file_names_are_plain_for_any_image_name(name: str) -> None:
    found = image_file_name(name)
    assert found.isascii() and set(found) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
    assert found.endswith(".png") and found.count(".") == 1 and not found.startswith(("-", ".")) and len(found) < 100


def test_similar_image_names_have_different_file_names() -> None:
    names = ["a/1.jpg", "b/1.jpg", "a/1.png", "a-1.jpg", "a 1.jpg", "a_1.jpg", "A_1.jpg"]
    assert len({image_file_name(name).lower() for name in names}) == len(names)
