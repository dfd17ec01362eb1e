import numpy as np
import pytest

from detect.training.augment import FILL, View, draw_view, visible
from helpers.toy.annotations import TINY


def rectangle(box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((120, 160, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", [(0, 0, 160, 120), (20, 10, 120, 110), (-80, -30, 240, 210)])
def test_a_box_stays_on_its_pixels(window: tuple[float, float, float, float], mirrored: bool) -> None:
    image = rectangle((40, 30, 80, 70))
    view = View(tuple(float(side) for side in window), mirrored)
    pixels = view.pixels(image, 192)
    (x0, y0, x1, y1), *_ = view.boxes(np.array([[40, 30, 80, 70]], np.float32), 192)
    rows, columns = np.nonzero((pixels > 180).all(axis=2))
    assert np.allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [x0, y0, x1, y1], atol=2)


def test_mirroring_twice_changes_nothing() -> None:
    boxes = np.array([[3, 4, 50, 60], [0, 0, 160, 120]], np.float32)
    view = View((0.0, 0.0, 100.0, 100.0), mirrored=True)
    assert np.allclose(view.boxes(view.boxes(boxes, 100), 100), boxes)


def test_outside_of_a_zoomed_out_image_lies_the_mean_colour() -> None:
    pixels = View((-160.0, -120.0, 160.0, 120.0)).pixels(rectangle((0, 0, 160, 120)), 64)
    assert tuple(pixels[0, 0]) == FILL and tuple(pixels[63, 63]) == (255, 255, 255)


def test_a_part_is_kept_where_its_centre_is_in_view() -> None:
    boxes = np.array([[10, 10, 30, 30], [-30, 10, 20, 30], [90, 90, 110.5, 95], [50, 50, 51, 90]], np.float32)
    clipped, kept = visible(boxes, 100)
    assert kept.tolist() == [True, False, False, False]
    assert clipped.min() >= 0 and clipped.max() <= 100


def test_every_drawn_view_shows_a_part() -> None:
    recipe = TINY.model_copy(update={"zoom_in": 0.6, "zoom_out": 0.3, "flip": 0.5})
    boxes = np.array([[5, 5, 15, 15], [140, 100, 155, 118]], np.float32)
    for seed in range(200):
        view = draw_view(160, 120, boxes, recipe, np.random.default_rng(seed))
        assert visible(view.boxes(boxes, 96), 96)[1].any()


def test_a_crop_holds_its_share_of_some_part() -> None:
    recipe = TINY.model_copy(update={"zoom_in": 1.0, "zoom_out": 0.0})
    boxes = np.array([[20, 20, 60, 60], [100, 70, 110, 76]], np.float32)
    shares = []
    for seed in range(300):
        x0, y0, x1, y1 = draw_view(160, 120, boxes, recipe, np.random.default_rng(seed)).window
        assert 0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 120
        held = [max(0, min(x1, c) - max(x0, a)) * max(0, min(y1, d) - max(y0, b)) for a, b, c, d in boxes]
        shares.append(max(held[0] / 1600, held[1] / 60))
    assert min(shares) >= 0.1 and np.mean(np.array(shares) < 0.95) > 0.02  # a part may be cut, never lost
