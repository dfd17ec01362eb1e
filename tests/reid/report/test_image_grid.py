"""The grid of pictures: every pixel of each is there, in aligned columns; file names that no data set can misuse."""

import numpy as np
import pytest
from PIL import Image

from reid.report.picture_grid import APART, GAP, PictureLine, grid, picture_name

COLOURS = [(250, 10 * place, 0) for place in range(20)]


def picture(number: int, width: int = 60, height: int = 40) -> Image.Image:
    return Image.new("RGB", (width, height), COLOURS[number])


def place_of(number: int, canvas: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of the pixels of a picture's colour."""
    rows, columns = np.nonzero((canvas == COLOURS[number]).all(axis=2))
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    assert len(rows) == width * height  # nothing covers it
    return left, top, width, height


def test_pictures_are_whole_and_their_columns_aligned() -> None:
    first = PictureLine("one", [picture(0), picture(1, 90), picture(2, 30, 70)], ["a", "b", "c"])
    second = PictureLine("two", [picture(3), picture(4), picture(5)])
    canvas = np.asarray(grid("title", [[first, second]]))
    places = [place_of(number, canvas) for number in range(6)]
    assert [place[2:] for place in places] == [(60, 40), (90, 40), (30, 70), (60, 40), (60, 40), (60, 40)]
    assert [place[0] for place in places[:3]] == [place[0] for place in places[3:]]
    assert places[1][0] - places[0][0] - 60 == GAP + APART and places[2][0] - places[1][0] - 90 == GAP
    assert {place[1] for place in places[:3]} != {place[1] for place in places[3:]}
    assert places[3][1] > places[2][1] + 70


def test_a_block_has_columns_of_its_own() -> None:
    blocks = [[PictureLine("", [picture(0, 150), picture(1)])], [PictureLine("", [picture(2, 20), picture(3)])]]
    canvas = np.asarray(grid("", blocks))
    assert place_of(1, canvas)[0] > 150 > place_of(3, canvas)[0]


def test_a_caption_has_the_room_that_it_needs() -> None:
    lines = [PictureLine("", [picture(0, 10), picture(1, 10)], ["a caption that is wider than its picture", "b"])]
    canvas = np.asarray(grid("", [lines]))
    assert place_of(1, canvas)[0] > 150
    below = canvas[place_of(0, canvas)[1] + 40 :]
    columns = np.flatnonzero((below < 120).all(axis=2).any(axis=0))
    assert GAP <= columns.min() and columns.max() < canvas.shape[1]
    assert not ((columns > place_of(1, canvas)[0] - GAP) & (columns < place_of(1, canvas)[0])).any()


def test_long_titles_and_strange_characters_stay_on_the_picture() -> None:
    lines = [PictureLine("heading " * 40, [picture(0, 300)], ["line\nfeed\x1b"])]
    canvas = np.asarray(grid("x" * 400 + "\u202e\ud800", [lines]))
    assert place_of(0, canvas)[2:] == (300, 40)
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
def test_a_file_name_is_plain_whatever_the_image_is_called(name: str) -> None:
    found = picture_name(name)
    assert found.isascii() and set(found) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
    assert found.endswith(".png") and found.count(".") == 1 and not found.startswith(("-", ".")) and len(found) < 100
    assert found == picture_name(name)


def test_names_that_look_alike_have_files_of_their_own() -> None:
    names = ["a/1.jpg", "b/1.jpg", "a/1.png", "a-1.jpg", "a 1.jpg", "a_1.jpg", "A_1.jpg"]
    assert len({picture_name(name).lower() for name in names}) == len(names)
