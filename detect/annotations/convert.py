"""Annotations in another form made into the COCO JSON that `read_annotations` reads: VOC files, other labels."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import write_json
from data_cache.parts.names import PART_NAMES
from detect.annotations.coco import read_coco
from detect.annotations.faults import AnnotationFaults, shown
from detect.annotations.part_mapping import PartMapping
from detect.annotations.reading import AnnotatedImage, annotated_images, size_faults
from detect.annotations.summary import AnnotationSummary, summarise
from detect.annotations.voc import read_voc_folder

DECIMALS = 3  # of a pixel, in the file written
REMEDY = "nothing was written; correct them, or say by --map what a label stands for"


@dataclass(frozen=True)
class LabelUse:
    """What became of a label: the part, None where it was dropped, and its number of objects."""

    label: str
    part: str | None
    objects: int


@dataclass(frozen=True)
class Conversion:
    """What was written to `output`, and what became of every label."""

    output: Path
    written: AnnotationSummary
    difficult: int  # parts marked so in VOC files; they are written like the others
    labels: tuple[LabelUse, ...]  # in the order of their names

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"output": str(self.output)}


def convert_voc(
    folder: Path,
    image_root: Path,
    output: Path,
    mapping: PartMapping,
    *,
    first_pixel: int = 1,
    vehicle_pattern: re.Pattern[str] | None = None,
) -> Conversion:
    """Write the Pascal VOC files below `folder` as one COCO JSON; see `read_voc_folder` for how they are read.

    `vehicle_pattern` finds a vehicle in an image's name, by its one group. Raises AnnotationFaults with every fault;
    then nothing is written.
    """
    reading = read_voc_folder(folder, image_root, mapping, first_pixel)
    if reading.faults:
        raise AnnotationFaults(folder, reading.faults, REMEDY)
    images = _with_vehicles(reading.images, vehicle_pattern)
    return _write(output, images, mapping, reading.labels, reading.difficult)


def convert_coco(
    path: Path,
    image_root: Path,
    output: Path,
    mapping: PartMapping,
    *,
    vehicle_pattern: re.Pattern[str] | None = None,
) -> Conversion:
    """Write a COCO JSON of other labels as one of parts; only boxes, labels and vehicles are kept.

    `vehicle_pattern` as in `convert_voc`; without it each image keeps its `vehicle_id`. Raises AnnotationFaults with
    every fault; then nothing is written.
    """
    if output.resolve() == path.resolve():
        raise UserError(f"{output}: is the file that is read; choose another --output")
    reading = read_coco(path, image_root, mapping)
    faults = [*reading.faults, *size_faults(reading, image_root)]
    if faults:
        raise AnnotationFaults(path, faults, REMEDY)
    return _write(output, _with_vehicles(annotated_images(reading), vehicle_pattern), mapping, reading.labels, 0)


def coco_document(images: Sequence[AnnotatedImage]) -> dict[str, Any]:
    """Return the images, in the order of their names, and their parts as COCO; ids count from 1."""
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(sorted(images, key=lambda image: image.name), start=1):
        vehicle = {} if image.vehicle is None else {"vehicle_id": image.vehicle}
        size = {"width": image.width, "height": image.height}
        records.append({"id": number, "file_name": image.name, **size, **vehicle})
        for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
            x0, y0, x1, y1 = (round(edge, DECIMALS) for edge in box)
            width, height = round(x1 - x0, DECIMALS), round(y1 - y0, DECIMALS)
            key = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1}
            area = round(width * height, DECIMALS)
            annotations.append(key | {"bbox": [x0, y0, width, height], "area": area, "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, start=1)]
    return {"images": records, "annotations": annotations, "categories": categories}


def _with_vehicles(images: Sequence[AnnotatedImage], pattern: re.Pattern[str] | None) -> list[AnnotatedImage]:
    if pattern is None:
        return list(images)
    found = [pattern.search(image.name) for image in images]
    vehicles = [match[1] or None if match else None for match in found]
    if not any(vehicles):
        raise UserError(
            f"--vehicle-pattern {pattern.pattern}: finds no vehicle in {shown(images[0].name)} or any other name"
        )
    return [replace(image, vehicle=vehicle) for image, vehicle in zip(images, vehicles, strict=True)]


def _write(
    output: Path, images: Sequence[AnnotatedImage], mapping: PartMapping, labels: Counter[str], difficult: int
) -> Conversion:
    uses = tuple(LabelUse(label, mapping[label], count) for label, count in sorted(labels.items()))
    if not any(len(image.labels) for image in images):
        told = ", ".join(shown(use.label) for use in uses) or "nothing"
        raise UserError(
            f"{output}: not written, because no part is left of {told}; say by --map what stands for a part"
        )
    write_json(output, coco_document(images))
    return Conversion(output, summarise(images), difficult, uses)
