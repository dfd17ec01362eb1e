"""Annotated parts for training the detector: COCO JSON, checked before anything is trained on it."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from data_cache.files import read_json
from data_cache.images import ImageError, path_inside

EDGE_TOLERANCE = 1.0  # pixels that a box may stick out of its image; it is clipped


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
    """Read COCO JSON, sorted by image name. Raises UserError, naming file and record, for whatever is wrong in it.

    Categories are matched by name, never by number; images that are missing below `image_root` are told at once.
    """
    document = read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise UserError(f"{path}: not COCO JSON (no list `{key}`)")
    label_of = _labels(path, document["categories"])
    records = _images(path, document["images"], image_root)
    parts: dict[Any, list[tuple[list[float], int]]] = defaultdict(list)
    seen: set[Any] = set()
    for annotation in document["annotations"]:
        _read_box(path, annotation, records, label_of, parts, seen)
    if not parts:
        raise UserError(f"{path}: no annotated part in {len(records)} images")
    images = (_image(record, parts[key]) for key, record in records.items())
    return tuple(sorted(images, key=lambda image: image.name))


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


def _labels(path: Path, categories: list[Any]) -> dict[Any, int]:
    labels: dict[Any, int] = {}
    for category in categories:
        key, name = _field(path, "category", category, "id"), _field(path, "category", category, "name")
        if name not in PART_NAMES:
            raise UserError(f"{path}: category {name!r} is none of the parts ({', '.join(PART_NAMES)})")
        if key in labels or PART_NAMES.index(name) in labels.values():
            raise UserError(f"{path}: category {name!r} (id {key}) is given twice")
        labels[key] = PART_NAMES.index(name)
    return labels


def _images(path: Path, images: list[Any], image_root: Path) -> dict[Any, Mapping[str, Any]]:
    records: dict[Any, Mapping[str, Any]] = {}
    names: set[str] = set()
    for image in images:
        key, name = _field(path, "image", image, "id"), _field(path, "image", image, "file_name")
        if key in records or name in names:
            raise UserError(f"{path}: image {name!r} (id {key}) is given twice")
        for side in ("width", "height"):
            if not isinstance(size := _field(path, "image", image, side), int) or size < 1:
                raise UserError(f"{path}: image {name!r} has {side} {size!r}")
        try:
            file = path_inside(image_root, str(name))
        except ImageError as error:
            raise UserError(f"{path}: {error}") from error
        if not file.is_file():
            raise UserError(f"{path}: image {file} is missing")
        records[key] = image
        names.add(name)
    return records


def _read_box(
    path: Path,
    annotation: Any,
    records: Mapping[Any, Mapping[str, Any]],
    label_of: Mapping[Any, int],
    parts: dict[Any, list[tuple[list[float], int]]],
    seen: set[Any],
) -> None:
    field: Callable[[str], Any] = lambda key: _field(path, "annotation", annotation, key)  # noqa: E731
    key, image, category, box = field("id"), field("image_id"), field("category_id"), field("bbox")
    where = f"{path}: annotation {key}"
    if key in seen:
        raise UserError(f"{where} is given twice")
    if image not in records:
        raise UserError(f"{where}: no image has id {image!r}")
    if category not in label_of:
        raise UserError(f"{where}: no category has id {category!r}")
    seen.add(key)
    width, height = records[image]["width"], records[image]["height"]
    parts[image].append((_corners(where, box, width, height), label_of[category]))


def _corners(where: str, box: Any, width: int, height: int) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(number, int | float) for number in box):
        raise UserError(f"{where}: bbox {box!r} is not [x, y, width, height]")
    x, y, w, h = (float(number) for number in box)
    if w <= 0 or h <= 0:
        raise UserError(f"{where}: bbox {box} has no area")
    if min(x, y) < -EDGE_TOLERANCE or x + w > width + EDGE_TOLERANCE or y + h > height + EDGE_TOLERANCE:
        raise UserError(f"{where}: bbox {box} leaves its image of {width} x {height}")
    return [max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)]


def _field(path: Path, kind: str, record: Any, key: str) -> Any:
    if not isinstance(record, dict) or record.get(key) is None:
        raise UserError(f"{path}: {kind} without `{key}`: {str(record)[:100]}")
    return record[key]


def _image(record: Mapping[str, Any], parts: list[tuple[list[float], int]]) -> AnnotatedImage:
    vehicle = record.get("vehicle_id")
    return AnnotatedImage(
        name=record["file_name"],
        width=record["width"],
        height=record["height"],
        vehicle=None if vehicle is None else str(vehicle),
        boxes=np.array([box for box, _ in parts], dtype=np.float32).reshape(-1, 4),
        labels=np.array([label for _, label in parts], dtype=np.int64),
    )
