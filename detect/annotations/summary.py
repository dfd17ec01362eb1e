"""What a set of annotated images holds: images, vehicles, and the number and size of each part's boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_cache.parts.names import PART_NAMES
from detect.annotations.reading import AnnotatedImage


@dataclass(frozen=True)
class PartCount:
    """The boxes of one part, the images that show it, and its median width and height in pixels (0 without a box)."""

    part: str
    boxes: int
    images: int
    width: float
    height: float


@dataclass(frozen=True)
class AnnotationSummary:
    """Counts of a set; sizes are (width, height) in pixels of the image with the fewest and the most pixels."""

    images: int
    images_without_part: int
    vehicles: int
    images_without_vehicle: int
    parts: int
    smallest_image: tuple[int, int]
    largest_image: tuple[int, int]
    by_part: tuple[PartCount, ...]  # all 16, in the order of PART_NAMES

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


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
    sides = np.concatenate([found[:, 2:] - found[:, :2] for found in boxes])
    width, height = np.median(sides, axis=0).tolist() if len(sides) else (0.0, 0.0)
    shown_in = sum(len(found) > 0 for found in boxes)
    return PartCount(PART_NAMES[label], len(sides), shown_in, width, height)
