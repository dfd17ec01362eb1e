"""Contact sheets: the size of pictures, cells and sheets."""

from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.images.contact_sheet import (
    FAILED,
    LEGEND_WIDTH,
    LINE_HEIGHT,
    PICTURE,
    Cell,
    draw_cell,
    draw_picture,
    write_sheet,
)
from data_cache.images.drawing import Mark
from data_cache.images.loading import load_image

ORANGE = (250, 140, 10)


def pixels(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), ORANGE, np.uint8)


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 90), (2000, 1000), (900, 2500), (3, 2), (4000, 10)])
def test_picture_fills_its_space_and_keeps_its_aspect_ratio(width: int, height: int) -> None:
    picture = draw_picture(pixels(width, height), [], PICTURE)
    assert picture.width == PICTURE[0] or picture.height == PICTURE[1]
    assert picture.width <= PICTURE[0] and picture.height <= PICTURE[1]
    assert picture.width * height == pytest.approx(picture.height * width, abs=max(width, height))


def test_cell_is_as_high_as_its_picture_or_its_legend() -> None:
    image = pixels(340, 100)
    marks = tuple(Mark((5, 5, 20, 20), (255, 0, 0), str(number), f"part {number}") for number in range(12))
    size = (PICTURE[0] + LEGEND_WIDTH, 2 * LINE_HEIGHT + 100)
    assert draw_cell(Cell(image, marks[:3], ("name", "size"))).size == size
    assert draw_cell(Cell(image, marks)).height == 12 * LINE_HEIGHT


def test_mark_without_a_key_is_not_in_the_legend() -> None:
    listed, unlisted = (
        np.asarray(draw_cell(Cell(pixels(340, 100), (Mark((5, 5, 20, 20), ORANGE, key, "x"),)))) for key in ("1", "")
    )
    assert listed[:LINE_HEIGHT, PICTURE[0] :].max() > 200 and unlisted[:LINE_HEIGHT, PICTURE[0] :].max() < 50


def test_cell_without_an_image_is_grey_and_shows_the_reason() -> None:
    cell = np.asarray(draw_cell(Cell(None, reason="a.jpg: damaged image (truncated)")))
    assert (cell == FAILED).all(axis=-1).mean() > 0.5
    assert cell[: LINE_HEIGHT * 3].max() > 200  # letters


@pytest.mark.parametrize("count", [1, 2, 5, 24, 60])
def test_sheet_has_every_cell_and_about_the_shape_of_a_screen(tmp_path: Path, count: int) -> None:
    sheet = load_image(write_sheet([Cell(pixels(340, 240))] * count, tmp_path / "sheets" / "a.png", ["a title"]))
    assert (sheet == ORANGE).all(axis=-1).sum() == count * 340 * 240
    assert count < 5 or 0.7 < sheet.shape[1] / sheet.shape[0] < 2.2


def test_long_title_is_wrapped(tmp_path: Path) -> None:
    short, long = (
        load_image(write_sheet([Cell(pixels(300, 200))], tmp_path / "a.png", [title])).shape
        for title in ("short", "a title of many words " * 20)
    )
    assert long[1] == short[1] and long[0] >= short[0] + 3 * LINE_HEIGHT


def test_sheet_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"a\.png: cannot be written"):
        write_sheet([Cell(pixels(3, 3))], tmp_path / "file" / "a.png", [])
