"""Augmentation of a training image and its part boxes: horizontal flip and random erasing; see also `image_changes`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_cache.base.pretrained import MEAN
from reid.data.image_changes import Level

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
MEAN_PIXEL = np.array([round(255 * value) for value in MEAN], dtype=np.uint8)
ERASED_AREA, ERASED_ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)
ERASING_ATTEMPTS = 100  # a drawn shape may not fit; the authors of random erasing try as often


@dataclass(frozen=True)
class Augmentation:
    """Probabilities of a horizontal flip and of random erasing, and the level of `image_changes.change` before them."""

    flip: float = 0.5
    erase: float = 0.5
    changes: Level = "none"


def augment(
    image: Pixels, crops: Pixels, boxes: Boxes, probabilities: Augmentation, random: np.random.Generator
) -> tuple[Pixels, Pixels, Boxes]:
    """Flip image, crops of its parts and boxes together, then erase a rectangle of the image.

    Erased boxes stay (the paper is silent), and crops are not erased.
    """
    if random.random() < probabilities.flip:
        image, boxes = flip(image, boxes)
        crops = crops[:, :, ::-1]
    if random.random() < probabilities.erase:
        image = erase(image, random)
    return image, crops, boxes


def flip(image: Pixels, boxes: Boxes) -> tuple[Pixels, Boxes]:
    """Mirror image (H, W, 3) and boxes (D, 4), xyxy in [0, 1], left to right."""
    mirrored = boxes.copy()
    mirrored[:, 0], mirrored[:, 2] = 1 - boxes[:, 2], 1 - boxes[:, 0]
    return image[:, ::-1], mirrored


def erase(image: Pixels, random: np.random.Generator) -> Pixels:
    """Return a copy of the image (H, W, 3) with a random rectangle in the mean colour of ImageNet."""
    height, width = image.shape[:2]
    for _ in range(ERASING_ATTEMPTS):
        area = random.uniform(*ERASED_AREA) * height * width
        aspect = random.uniform(*ERASED_ASPECT)
        rows, columns = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if rows < height and columns < width:
            top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
            erased = image.copy()
            erased[top : top + rows, left : left + columns] = MEAN_PIXEL
            return erased
    return image
