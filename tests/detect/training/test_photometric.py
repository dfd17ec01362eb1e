import numpy as np
import pytest

from detect.training.augment import DEGRADATIONS, jitter_colour


def picture(seed: int = 0) -> np.ndarray:
    """A smooth picture in strong colours."""
    coarse = np.random.default_rng(seed).integers(30, 220, (4, 5, 3))
    return np.kron(coarse, np.ones((10, 10, 1))).astype(np.uint8)


def test_no_strength_changes_nothing() -> None:
    assert np.array_equal(jitter_colour(picture(), 0.0, 0.0, 0.0, np.random.default_rng(0)), picture())


def test_brightness_and_balance_stay_within_their_strength_and_repeat_with_the_seed() -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    first, again = (jitter_colour(flat, 0.3, 0.0, 0.0, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again)
    for seed in range(50):
        changed = jitter_colour(flat, 0.3, 0.0, 0.0, np.random.default_rng(seed))
        assert changed.min() >= 60 and changed.max() <= 142  # 100 x 0.7 x 0.925 and 100 x 1.3 x 1.075, saturation added


def test_a_turned_hue_moves_the_colours_and_keeps_the_light() -> None:
    red = np.full((4, 4, 3), (150, 90, 80), np.uint8)
    moved = [jitter_colour(red, 0.0, 0.5, 0.0, np.random.default_rng(seed)).astype(float) for seed in range(30)]
    light = [(pixels @ (0.299, 0.587, 0.114)).mean() for pixels in moved]
    assert np.allclose(light, red[0, 0] @ np.array((0.299, 0.587, 0.114)), atol=1.5)
    assert np.std([pixels[0, 0, 0] for pixels in moved]) > 10


def test_a_grey_picture_has_equal_channels() -> None:
    grey = jitter_colour(picture(), 0.0, 0.0, 1.0, np.random.default_rng(0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 2


@pytest.mark.parametrize("place", range(len(DEGRADATIONS)))
def test_every_degradation_keeps_form_and_picture_but_not_its_pixels(place: int) -> None:
    before = picture()
    after = DEGRADATIONS[place](before, np.random.default_rng(3))
    assert after.shape == before.shape and after.dtype == np.uint8
    difference = after.astype(int) - before.astype(int)
    assert 0 < np.abs(difference).mean() < 25
    assert np.allclose(difference.mean(axis=(0, 1)), 0, atol=4)  # no channel is swapped with another
