import numpy as np
import pytest
from PIL import Image

from data_cache.images.drawing import DARK, HUES, Mark, draw_boxes, draw_keys, part_colour

GREY = (90, 91, 92)
RED = (255, 10, 20)


def drawn(marks: list[Mark], scale: float = 1.0, size: tuple[int, int] = (120, 100)) -> np.ndarray:
    return np.asarray(draw_boxes(Image.new("RGB", size, GREY), marks, scale))


def of_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=-1)


def test_a_box_is_drawn_inside_its_edges_at_the_scale_of_the_picture() -> None:
    found = of_colour(drawn([Mark((10, 20, 30, 25), RED)], scale=2.0), RED)
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 49, 20, 59)
    assert found.sum() == 2 * 40 + 2 * 8  # an outline, nothing inside


def test_dashes_alternate_with_dark_ones() -> None:
    picture = drawn([Mark((10, 10, 42, 42), RED, dashed=True)])
    top = picture[10, 10:38]
    assert (of_colour(top, RED).sum(), of_colour(top, DARK).sum()) == (16, 12)
    assert of_colour(picture[9], GREY).all()


def test_only_a_mark_with_a_key_gets_one() -> None:
    bare, keyed = ([Mark((40, 40, 60, 60), RED, key)] for key in ("", "7"))
    assert of_colour(drawn(bare), RED).sum() == 2 * 20 + 2 * 18
    assert of_colour(drawn(keyed), RED).sum() > of_colour(drawn(bare), RED).sum() + 50


@pytest.mark.parametrize("corner", [(50, 40), (0, 0), (114, 94), (0, 50)])
def test_keys_of_boxes_in_one_place_do_not_hide_each_other(corner: tuple[int, int]) -> None:
    """A key alone shows that many pixels of its colour; with others beside it, it shows as many."""
    box = (*corner, corner[0] + 6, corner[1] + 6)
    colours = [(255, 0, 10 * place) for place in range(4)]
    picture = drawn([Mark(box, colour, str(place)) for place, colour in enumerate(colours)])
    for place, colour in enumerate(colours):
        alone = of_colour(drawn([Mark((50, 40, 56, 46), colour, str(place))]), colour).sum() - 20  # without the outline
        assert of_colour(picture, colour).sum() >= alone


def test_a_key_stays_off_small_boxes_where_it_can() -> None:
    """Above and below the box are two others; the key goes to its side."""
    others = [Mark((40, 20, 60, 39), RED, "1"), Mark((40, 51, 60, 80), RED, "2")]
    yellow = (255, 250, 0)
    picture = drawn([*others, Mark((40, 40, 60, 50), yellow, "3")])
    rows, columns = np.nonzero(of_colour(picture, yellow))
    outside = (columns < 40) | (columns >= 60)
    assert outside.sum() > 50 and (rows[~outside] >= 40).all() and (rows[~outside] < 50).all()


def test_the_given_picture_is_left_as_it_is() -> None:
    picture = Image.new("RGB", (50, 50), GREY)
    draw_boxes(picture, [Mark((5, 5, 30, 30), RED, "1")], 1.0)
    assert of_colour(np.asarray(picture), GREY).all()


def test_every_part_has_a_colour_of_its_own() -> None:
    assert len({part_colour(label) for label in range(HUES)}) == HUES


def test_keys_alone_are_what_boxes_with_keys_have_more_than_boxes() -> None:
    marks = [Mark((40, 40, 60, 60), RED, "7"), Mark((70, 20, 90, 50), RED), Mark((10, 70, 30, 90), RED, "12")]
    bare = [Mark(mark.box, mark.colour) for mark in marks]
    boxes = draw_boxes(Image.new("RGB", (120, 100), GREY), bare, 1.0)
    assert (np.asarray(draw_keys(boxes, marks, 1.0)) == drawn(marks)).all()
    assert (np.asarray(draw_keys(boxes, bare, 1.0)) == np.asarray(boxes)).all()
