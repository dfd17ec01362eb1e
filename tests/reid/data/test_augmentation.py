"""Augmentation: image and boxes are flipped together; erasing follows its distribution and keeps the boxes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.data.augmentation import MEAN_PIXEL, Augmentation, augment, erase, flip


def noise(height: int = 40, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_flipping_twice_changes_nothing() -> None:
    image, boxes = noise(), np.random.default_rng(1).random((5, 4)).astype(np.float32)
    flipped, mirrored = flip(image, boxes)
    assert not np.array_equal(flipped, image) and not np.allclose(mirrored, boxes)
    back, again = flip(flipped, mirrored)
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(again, boxes, atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 30), (39, 59), (20, 1)])
def test_the_box_of_a_pixel_is_flipped_with_it(row: int, column: int) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[row, column] = 255
    box = np.array([[column / 60, row / 40, (column + 1) / 60, (row + 1) / 40]], np.float32)
    flipped, mirrored = flip(image, box)
    left, top, right, bottom = np.rint(mirrored[0] * np.array([60, 40, 60, 40])).astype(int)
    assert (right - left, bottom - top) == (1, 1)
    assert (flipped[top:bottom, left:right] == 255).all() and flipped.sum() == 3 * 255


def test_erasing_fills_one_rectangle_with_the_mean_colour() -> None:
    shares = []
    for seed in range(300):
        image = noise(64, 96, seed)
        image[(image == MEAN_PIXEL).all(axis=2)] += 1
        original = image.copy()
        erased = erase(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(image, original)
        rows, columns = np.nonzero((erased == MEAN_PIXEL).all(axis=2))
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        height, width = bottom - top, right - left
        assert len(rows) == height * width
        erased[top:bottom, left:right] = original[top:bottom, left:right]
        np.testing.assert_array_equal(erased, original)
        shares.append(height * width / (64 * 96))
        assert (height - 0.5) * (width - 0.5) <= 0.4 * 64 * 96 and (height + 0.5) * (width + 0.5) >= 0.02 * 64 * 96
        assert 0.3 * (width - 0.5) <= height + 0.5 and 0.3 * (height - 0.5) <= width + 0.5
    assert min(shares) < 0.05 and max(shares) > 0.3


def test_flips_and_erasures_have_their_probabilities() -> None:
    image, boxes = noise(), np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    crops = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    mirrored = flip(image, boxes)
    flips = erasures = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        new, parts, found = augment(image, crops, boxes, Augmentation(flip=0.25, erase=0.75), random)
        flipped = not np.array_equal(found, boxes)
        np.testing.assert_array_equal(parts, crops[:, :, ::-1] if flipped else crops)  # and not erased
        np.testing.assert_array_equal(found, mirrored[1] if flipped else boxes)
        flips += flipped
        erasures += not np.array_equal(new, mirrored[0] if flipped else image)
    assert 70 <= flips <= 130 and 265 <= erasures <= 335
    same, uncut, kept = augment(image, crops, boxes, Augmentation(flip=0, erase=0), np.random.default_rng(0))
    assert same is image and uncut is crops and kept is boxes
