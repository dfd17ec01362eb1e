"""Augmentation: boxes stay on their pixels, a view shows a part, colours change within their limits."""

from collections.abc import Callable

import numpy as np
import pytest

from detect.training.augment import DEGRADATIONS, FILL, View, clip_to_view, draw_view, jitter_colour
from helpers.toy.annotations import TINY

Degradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """Return a black image, 160 x 120, with a white rectangle."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[y0:y1, x0:x1] = 255
    return image


def colours() -> np.ndarray:
    """Return an image of strong colours in blocks."""
    coarse = np.random.default_rng(0).integers(30, 220, (4, 5, 3))
    return np.kron(coarse, np.ones((10, 10, 1))).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", [(0.0, 0.0, 160.0, 120.0), (20.0, 10.0, 120.0, 110.0), (-80.0, -30.0, 240.0, 210.0)])
def test_box_stays_on_its_pixels(window: tuple[float, float, float, float], mirrored: bool) -> None:
    view = View(window, mirrored)
    pixels = view.pixels(rectangle(40, 30, 80, 70), 192)
    boxes = view.boxes(np.array([[40, 30, 80, 70]], np.float32), 192)
    rows, columns = np.nonzero((pixels > 180).all(axis=2))
    assert np.allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], boxes[0], atol=2)


def test_mirroring_twice_is_the_identity() -> None:
    boxes = np.array([[3, 4, 50, 60], [0, 0, 160, 120]], np.float32)
    view = View((0.0, 0.0, 100.0, 100.0), mirrored=True)
    assert np.allclose(view.boxes(view.boxes(boxes, 100), 100), boxes)


def test_zoomed_out_image_is_surrounded_by_the_mean_colour() -> None:
    pixels = View((-160.0, -120.0, 160.0, 120.0)).pixels(rectangle(0, 0, 160, 120), 64)
    assert tuple(pixels[0, 0]) == FILL and tuple(pixels[63, 63]) == (255, 255, 255)


def test_part_is_visible_if_its_centre_and_enough_of_it_are_in_view() -> None:
    boxes = np.array([[10, 10, 30, 30], [-30, 10, 20, 30], [90, 90, 110.5, 95], [50, 50, 51, 90]], np.float32)
    clipped, visible = clip_to_view(boxes, 100)
    assert visible.tolist() == [True, False, False, False]
    assert clipped.min() >= 0 and clipped.max() <= 100


def test_every_view_shows_a_part() -> None:
    recipe = TINY.model_copy(update={"zoom_in": 0.6, "zoom_out": 0.3, "flip": 0.5})
    boxes = np.array([[5, 5, 15, 15], [140, 100, 155, 118]], np.float32)
    for seed in range(200):
        view = draw_view(160, 120, boxes, recipe, np.random.default_rng(seed))
        assert clip_to_view(view.boxes(boxes, 96), 96)[1].any()


def test_crop_contains_its_share_of_some_part() -> None:
    recipe = TINY.model_copy(update={"zoom_in": 1.0, "zoom_out": 0.0})
    boxes = np.array([[20, 20, 60, 60], [100, 70, 110, 76]], np.float32)
    shares = []
    for seed in range(300):
        x0, y0, x1, y1 = draw_view(160, 120, boxes, recipe, np.random.default_rng(seed)).window
        assert 0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 120
        inside = [max(0, min(x1, c) - max(x0, a)) * max(0, min(y1, d) - max(y0, b)) for a, b, c, d in boxes]
        shares.append(max(inside[0] / 1600, inside[1] / 60))
    assert min(shares) >= 0.1 and np.mean(np.array(shares) < 0.95) > 0.02  # parts may be cut, but not lost


def test_jitter_of_strength_0_is_the_identity() -> None:
    assert np.array_equal(jitter_colour(colours(), 0.0, 0.0, 0.0, np.random.default_rng(0)), colours())


def test_jitter_stays_within_its_strength_and_depends_on_the_seed_only() -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    first, again = (jitter_colour(flat, 0.3, 0.0, 0.0, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again)
    for seed in range(50):
        changed = jitter_colour(flat, 0.3, 0.0, 0.0, np.random.default_rng(seed))
        assert changed.min() >= 60 and changed.max() <= 142  # 100 x 0.7 x 0.925 and 100 x 1.3 x 1.075, and saturation


def test_hue_rotation_changes_colours_and_keeps_luma() -> None:
    red = np.full((4, 4, 3), (150, 90, 80), np.uint8)
    rotated = [jitter_colour(red, 0.0, 0.5, 0.0, np.random.default_rng(seed)).astype(float) for seed in range(30)]
    luma = [(pixels @ (0.299, 0.587, 0.114)).mean() for pixels in rotated]
    assert np.allclose(luma, red[0, 0] @ np.array((0.299, 0.587, 0.114)), atol=1.5)
    assert np.std([pixels[0, 0, 0] for pixels in rotated]) > 10


def test_grey_image_has_equal_channels() -> None:
    grey = jitter_colour(colours(), 0.0, 0.0, 1.0, np.random.default_rng(0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 2


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda degradation: degradation.__name__)
def test_degradation_changes_pixels_and_keeps_shape_and_mean_colour(degradation: Degradation) -> None:
    before = colours()
    after = degradation(before, np.random.default_rng(3))
    assert after.shape == before.shape and after.dtype == np.uint8
    difference = after.astype(int) - before.astype(int)
    assert 0 < np.abs(difference).mean() < 25
    assert np.allclose(difference.mean(axis=(0, 1)), 0, atol=4)  # no channels are swapped
