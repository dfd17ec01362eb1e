"""Annotated parts for training the detector: COCO JSON, checked before anything is trained on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError, printable
from data_cache.base.progress import track
from data_cache.images.loading import ImageError, image_size
from data_cache.parts.names import PART_NAMES
from detect.annotations.coco import CocoReading, read_coco
from detect.annotations.faults import AnnotationFaults, shown
from detect.annotations.part_mapping import PARTS
from detect.annotations.pictures import Corners, ImageRecord, size_fault


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with its true parts: boxes (M, 4) float32 xyxy in its pixels, labels (M,) int64 into PART_NAMES."""

    name: str
    width: int
    height: int
    vehicle: str | None
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.labels), 4):
            raise ValueError(f"{len(self.labels)} labels need boxes ({len(self.labels)}, 4), got {self.boxes.shape}")


def read_annotations(path: Path, image_root: Path) -> tuple[AnnotatedImage, ...]:
    """Read COCO JSON, sorted by image name. Raises AnnotationFaults with every fault where anything in it is wrong.

    Categories are matched by name (see `part_mapping.normal_form`), never by number; some of the 16 parts are
    enough. Boxes that leave their image by no more than a pixel are clipped. Images are looked up below `image_root`;
    their stored size is not compared, see `annotation_faults`.
    """
    reading = read_coco(path, image_root, PARTS)
    if reading.faults:
        listing = f"python cli.py parts check --annotations {path} --images {image_root}"
        raise AnnotationFaults(path, reading.faults, f"`{listing}` lists all, `parts convert` maps other labels")
    return annotated_images(reading)


def annotation_faults(path: Path, image_root: Path) -> list[str]:
    """Return a line for every fault: what `read_annotations` refuses, and images whose stored size is another.

    The sizes are read from the headers of the files. Raises UserError where `path` is no JSON at all.
    """
    reading = read_coco(path, image_root, PARTS)
    return [f"{path}: {fault}" for fault in (*reading.faults, *size_faults(reading, image_root))]


def size_faults(reading: CocoReading, image_root: Path) -> list[str]:
    """Return a line for every image of the reading whose header tells another size than its record, or none."""
    images = track(reading.images.items(), "looking at images", len(reading.images))
    return [fault for key, image in images for fault in _size_faults(f"image {shown(key)}", image, image_root)]


def annotated_images(reading: CocoReading) -> tuple[AnnotatedImage, ...]:
    """Return the sound images of a reading with their parts, sorted by name."""
    found = (annotated(image, reading.parts.get(key, [])) for key, image in reading.images.items())
    return tuple(sorted(found, key=lambda image: image.name))


def annotated(image: ImageRecord, parts: list[tuple[Corners, str]]) -> AnnotatedImage:
    """Return an image record with its parts, boxes and labels in their order."""
    return AnnotatedImage(
        name=image.name,
        width=image.width,
        height=image.height,
        vehicle=image.vehicle,
        boxes=np.array([corners for corners, _ in parts], dtype=np.float32).reshape(-1, 4),
        labels=np.array([PART_NAMES.index(part) for _, part in parts], dtype=np.int64),
    )


def split_held_out(
    images: tuple[AnnotatedImage, ...], fraction: float
) -> tuple[tuple[AnnotatedImage, ...], tuple[AnnotatedImage, ...]]:
    """Return (training, held-out) images; all images of a vehicle fall on one side, chosen by a hash of its identity.

    An image without `vehicle_id` counts as a vehicle of its own. With fraction 0 both are all images.
    """
    if fraction == 0:
        return images, images
    vehicles = {image.vehicle or image.name for image in images}
    by_hash = sorted(vehicles, key=lambda vehicle: hashlib.sha256(vehicle.encode()).hexdigest())
    held = set(by_hash[: max(1, round(fraction * len(by_hash)))])
    training = tuple(image for image in images if (image.vehicle or image.name) not in held)
    if not training:
        raise UserError("one annotated vehicle cannot be split into training and held-out; set held_out=0")
    return training, tuple(image for image in images if (image.vehicle or image.name) in held)


def _size_faults(where: str, image: ImageRecord, image_root: Path) -> Iterator[str]:
    try:
        path = image_root / image.name
        fault = size_fault(path, image_size(path), (image.width, image.height))
    except ImageError as error:
        fault = printable(error)
    if fault is not None:
        yield f"{where} ({shown(image.name)}): {fault}"
