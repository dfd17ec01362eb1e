"""Annotated images, and the checks of image files and boxes that COCO and VOC reading share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import RecordFault, printable
from data_cache.images.loading import ImageError, image_size
from data_cache.images.lookup import ImageLookup
from data_cache.parts.coco import Corners
from data_cache.parts.names import PART_NAMES
from data_cache.parts.verification import count_notes

LEAST_SIDE = 0.01  # pixels; a box with a shorter side teaches nothing
ALL_LABELS = frozenset(range(len(PART_NAMES)))


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with its true parts: boxes (M, 4) float32 xyxy in pixels, labels (M,) int64 into PART_NAMES.

    Parts whose label is not in `annotated` may be visible in the image without a box.
    """

    name: str
    width: int
    height: int
    vehicle: str | None
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    annotated: frozenset[int] = ALL_LABELS

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.labels), 4):
            raise ValueError(f"{len(self.labels)} labels need boxes ({len(self.labels)}, 4), got {self.boxes.shape}")


@dataclass
class AnnotationReading:
    """The content of a COCO file or a folder of VOC files: valid images with their parts, and a line per fault."""

    images: list[AnnotatedImage] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)  # objects by their label in the files
    mended: Counter[str] = field(default_factory=Counter)  # boxes by what was done to them, see `BoxMending`
    difficult: int = 0  # parts marked difficult in VOC files; kept, because a part that is hard to see is no background
    notes: list[str] = field(default_factory=list)  # of what was read otherwise than written
    faults: list[str] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Return a line for everything that was mended, or read otherwise than written."""
        return [*count_notes(self.mended), *self.notes]


@dataclass(frozen=True)
class ImageRecord:
    """An image without its parts: path below the image folder, size in pixels, vehicle if known."""

    name: str
    width: int
    height: int
    vehicle: str | None = None
    annotated: frozenset[int] = ALL_LABELS  # see AnnotatedImage

    def with_parts(self, parts: Sequence[tuple[Corners, str]]) -> AnnotatedImage:
        """Return the image with `parts`, (box, part name) each, in their order."""
        boxes = np.array([corners for corners, _ in parts], dtype=np.float32).reshape(-1, 4)
        labels = np.array([PART_NAMES.index(part) for _, part in parts], dtype=np.int64)
        return AnnotatedImage(self.name, self.width, self.height, self.vehicle, boxes, labels, self.annotated)


def find_image(lookup: ImageLookup, name: str) -> str:
    """Return the path below the image folder of the image that `name` means; see `ImageLookup.find`.

    Raises RecordFault if there is none.
    """
    try:
        return lookup.find(name)
    except ImageError as error:
        raise RecordFault(printable(error)) from error


def size_fault(path: Path, stored: tuple[int, int], annotated: tuple[int, int]) -> str | None:
    """Return how the stored (width, height) of an image differs from the annotated one, or None.

    Raises ImageError if the image cannot be used.
    """
    if stored == annotated:
        return None
    unturned = image_size(path, turned=False) == annotated
    remedy = "; it was annotated without its EXIF rotation, which is applied here: annotate it again, or remove the tag"
    return f"{stored[0]} x {stored[1]} pixels, annotated as {annotated[0]} x {annotated[1]}{remedy if unturned else ''}"
