"""Annotated parts for training the detector: COCO JSON, checked before training starts."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from data_cache.base.errors import UserError, printable, short_repr
from data_cache.base.options import remedy_command
from data_cache.base.progress import track
from data_cache.images.loading import ImageError, image_size
from detect.annotations.coco import read_coco
from detect.annotations.faults import AnnotationFaults
from detect.annotations.images import AnnotatedImage, AnnotationReading, size_fault
from detect.annotations.part_mapping import PARTS

log = logging.getLogger(__name__)


def read_annotations(path: Path, image_root: Path) -> tuple[AnnotatedImage, ...]:
    """Read COCO JSON, sorted by image name; images are looked up below `image_root`.

    Categories are matched by name (see `part_mapping.normal_form`), never by number; any subset of the 16 parts is
    enough. Boxes are mended as `BoxMending` does, with a message. Image sizes are not compared with the files, see
    `checked_reading`. Raises AnnotationFaults if anything is wrong.
    """
    reading = read_coco(path, image_root, PARTS)
    if reading.faults:
        listing = remedy_command("parts check", {"--annotations": path, "--images": image_root})
        raise AnnotationFaults(path, reading.faults, f"{listing} lists all, `parts convert` maps other labels")
    for note in reading.remarks():
        log.info(f"{path}: {note}")
    return tuple(reading.images)


def checked_reading(path: Path, image_root: Path, *, strict: bool = False) -> AnnotationReading:
    """Return what `read_annotations` reads; its faults, one line each, include images of another size than annotated.

    Sizes are read from image headers. If `strict`, boxes that would be mended are faults. Raises UserError if `path` is
    not a COCO document.
    """
    reading = read_coco(path, image_root, PARTS, strict=strict)
    faults = [f"{path}: {fault}" for fault in (*reading.faults, *size_faults(reading.images, image_root))]
    return replace(reading, faults=faults)


def size_faults(images: Sequence[AnnotatedImage], image_root: Path) -> list[str]:
    """Return one line per image that cannot be used or whose header has another size than annotated."""
    faults = []
    for image in track(images, "reading image headers", len(images)):
        try:
            path = image_root / image.name
            fault = size_fault(path, image_size(path), (image.width, image.height))
        except ImageError as error:
            fault = printable(error)
        if fault is not None:
            faults.append(f"image {short_repr(image.name)}: {fault}")
    return faults


def matching(images: tuple[AnnotatedImage, ...], pattern: str | None) -> tuple[AnnotatedImage, ...]:
    """Return the images whose name matches, see `matching_names`."""
    chosen = set(matching_names([image.name for image in images], pattern))
    return tuple(image for image in images if image.name in chosen)


def matching_names(names: Sequence[str], pattern: str | None) -> list[str]:
    """Return the names that the shell pattern matches as a whole, or all, sorted. Raises UserError if there is none."""
    chosen = sorted(name for name in set(names) if pattern is None or fnmatchcase(name, pattern))
    if not chosen:
        raise UserError(f"no name of {len(names)} images matches --names '{pattern}'; the first is {min(names)}")
    return chosen


def split_held_out(
    images: tuple[AnnotatedImage, ...], fraction: float
) -> tuple[tuple[AnnotatedImage, ...], tuple[AnnotatedImage, ...]]:
    """Return (training, held-out) images, split by vehicle; the vehicles are chosen by a hash of their id.

    An image without vehicle counts as a vehicle of its own. With fraction 0 both are all images.
    """
    if fraction == 0:
        return images, images
    vehicles = {image.vehicle or image.name for image in images}
    by_hash = sorted(vehicles, key=lambda vehicle: hashlib.sha256(vehicle.encode()).hexdigest())
    chosen = set(by_hash[: max(1, round(fraction * len(by_hash)))])
    training = tuple(image for image in images if (image.vehicle or image.name) not in chosen)
    if not training:
        raise UserError("one annotated vehicle cannot be split into training and held-out; set held_out=0")
    return training, tuple(image for image in images if (image.vehicle or image.name) in chosen)
