"""Counts of annotated images, checked by hand."""

import numpy as np

from data_cache.parts.names import PART_NAMES
from detect.annotations.images import AnnotatedImage
from detect.annotations.summary import PartCount, summarise


def image(
    name: str, size: tuple[int, int], vehicle: str | None, parts: list[tuple[int, float, float]]
) -> AnnotatedImage:
    """Return an image with parts (label, width, height) in its upper left corner."""
    boxes = np.array([(1, 2, 1 + width, 2 + height) for _, width, height in parts], np.float32).reshape(-1, 4)
    return AnnotatedImage(name, *size, vehicle, boxes, np.array([label for label, _, _ in parts], np.int64))


def test_counts_and_medians() -> None:
    summary = summarise(
        [
            image("a", (300, 10), "v", [(0, 4, 2), (0, 8, 6), (9, 1, 1)]),
            image("b", (100, 100), "v", [(0, 5, 3)]),
            image("c", (60, 49), None, []),
            image("d", (90, 30), "w", []),
        ]
    )
    assert (summary.images, summary.images_without_part, summary.parts) == (4, 2, 4)
    assert (summary.vehicles, summary.images_without_vehicle) == (2, 1)
    assert (summary.smallest_image, summary.largest_image) == ((90, 30), (100, 100))
    assert [part.part for part in summary.by_part] == list(PART_NAMES)
    assert summary.by_part[0] == PartCount(PART_NAMES[0], boxes=3, images=2, width=5, height=3)
    assert summary.by_part[9] == PartCount("logo", boxes=1, images=1, width=1, height=1)
    assert summary.by_part[5] == PartCount("entry license", boxes=0, images=0, width=0, height=0)
    assert sum(part.boxes for part in summary.by_part) == summary.parts
