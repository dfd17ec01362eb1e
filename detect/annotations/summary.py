"""Counts of annotated images: images, vehicles, and the number and median size of the boxes of each part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.parts.names import PART_NAMES
from detect.annotations.images import AnnotatedImage


@dataclass(frozen=True)
class PartCount:
    """Boxes of one part, images that show it, and the median width and height of its boxes in pixels (0 if none)."""

    part: str
    boxes: int
    images: int
    width: float
    height: float


@dataclass(frozen=True)
class AnnotationSummary:
    """Counts of annotated images; image sizes are (width, height) of those with the fewest and the most pixels."""

    images: int
    images_without_part: int
    vehicles: int
    images_without_vehicle: int
    parts: int
    smallest_image: tuple[int, int]
    largest_image: tuple[int, int]
    by_part: tuple[PartCount, ...]  # all 16, in the order of PART_NAMES


def summarise(images: Sequence[AnnotatedImage]) -> AnnotationSummary:
    """Return the summary of at least one image."""
    sizes = sorted({(image.width, image.height) for image in images}, key=lambda size: (size[0] * size[1], size))
    return AnnotationSummary(
        images=len(images),
        images_without_part=sum(not len(image.labels) for image in images),
        vehicles=len({image.vehicle for image in images} - {None}),
        images_without_vehicle=sum(image.vehicle is None for image in images),
        parts=sum(len(image.labels) for image in images),
        smallest_image=sizes[0],
        largest_image=sizes[-1],
        by_part=tuple(_count(images, label) for label in range(len(PART_NAMES))),
    )


def _count(images: Sequence[AnnotatedImage], label: int) -> PartCount:
    boxes = [image.boxes[image.labels == label] for image in images]
    sides = np.concatenate([of_image[:, 2:] - of_image[:, :2] for of_image in boxes])
    width, height = np.median(sides, axis=0).tolist() if len(sides) else (0.0, 0.0)
    return PartCount(PART_NAMES[label], len(sides), sum(len(of_image) > 0 for of_image in boxes), width, height)
