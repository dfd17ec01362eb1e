"""Convert annotations with other labels, Pascal VOC or COCO, to the COCO JSON that `read_annotations` reads."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import write_json
from data_cache.parts.names import PART_NAMES
from detect.annotations.coco import read_coco
from detect.annotations.faults import AnnotationFaults
from detect.annotations.images import ALL_LABELS, AnnotatedImage, AnnotationReading
from detect.annotations.part_mapping import PartMapping
from detect.annotations.reading import size_faults
from detect.annotations.summary import AnnotationSummary, summarise
from detect.annotations.voc import read_voc_folder

DECIMALS = 3  # of a pixel, in the written file
REMEDY = "nothing was written; correct them, or map labels to parts with --map"


@dataclass(frozen=True)
class LabelUse:
    """A label, the part it became (None if dropped) and its number of objects."""

    label: str
    part: str | None
    objects: int


@dataclass(frozen=True)
class Conversion:
    """The written file, a summary of its content, and the use of every label."""

    output: Path
    written: AnnotationSummary
    difficult: int  # parts marked difficult in VOC files; they are written like the others
    labels: tuple[LabelUse, ...]  # sorted by label
    notes: tuple[str, ...]  # of boxes that were mended, and images found under another name

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
    strict: bool = False,
) -> Conversion:
    """Write the Pascal VOC files below `folder` as one COCO JSON; see `read_voc_folder`.

    The one group of `vehicle_pattern`, searched in image names, is the vehicle. Raises AnnotationFaults with every
    fault; nothing is written then.
    """
    reading = read_voc_folder(folder, image_root, mapping, first_pixel, strict=strict)
    return _write(reading, folder, output, mapping, vehicle_pattern)


def convert_coco(
    path: Path,
    image_root: Path,
    output: Path,
    mapping: PartMapping,
    *,
    vehicle_pattern: re.Pattern[str] | None = None,
    strict: bool = False,
) -> Conversion:
    """Write a COCO JSON with other labels as one with parts; only boxes, labels and vehicles are kept.

    `vehicle_pattern` as in `convert_voc`; without it images keep their `vehicle_id`. Raises AnnotationFaults with every
    fault; nothing is written then.
    """
    if output.resolve() == path.resolve():
        raise UserError(f"{output}: is also the input; choose another --output")
    reading = read_coco(path, image_root, mapping, strict=strict)
    reading.faults += size_faults(reading.images, image_root)
    return _write(reading, path, output, mapping, vehicle_pattern)


def _write(
    reading: AnnotationReading,
    source: Path,
    output: Path,
    mapping: PartMapping,
    vehicle_pattern: re.Pattern[str] | None,
) -> Conversion:
    if reading.faults:
        raise AnnotationFaults(source, reading.faults, REMEDY)
    images = _with_vehicles(reading.images, vehicle_pattern)
    uses = tuple(LabelUse(label, mapping.get(label), count) for label, count in sorted(reading.labels.items()))
    if not any(len(image.labels) for image in images):
        labels = ", ".join(short_repr(use.label) for use in uses) or "none"
        raise UserError(f"{output}: not written, no label is a part (labels: {labels}); map labels to parts with --map")
    write_json(output, coco_document(images))
    return Conversion(output, summarise(images), reading.difficult, uses, tuple(reading.remarks()))


def _with_vehicles(images: Sequence[AnnotatedImage], pattern: re.Pattern[str] | None) -> Sequence[AnnotatedImage]:
    if pattern is None:
        return images
    matches = [pattern.search(image.name) for image in images]
    vehicles = [match[1] or None if match else None for match in matches]
    if not any(vehicles):
        raise UserError(
            f"--vehicle-pattern {pattern.pattern}: matches no vehicle in {short_repr(images[0].name)} or any other name"
        )
    return [replace(image, vehicle=vehicle) for image, vehicle in zip(images, vehicles, strict=True)]


def coco_document(images: Sequence[AnnotatedImage]) -> dict[str, Any]:
    """Return the images, sorted by name, and their parts as COCO; ids count from 1.

    An image of which not all parts are annotated names those that are.
    """
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(sorted(images, key=lambda image: image.name), start=1):
        vehicle = {} if image.vehicle is None else {"vehicle_id": image.vehicle}
        size = {"width": image.width, "height": image.height}
        known = [PART_NAMES[label] for label in sorted(image.annotated)]
        annotated = {} if image.annotated == ALL_LABELS else {"annotated_parts": known}
        records.append({"id": number, "file_name": image.name, **size, **vehicle, **annotated})
        for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
            x0, y0, x1, y1 = (round(edge, DECIMALS) for edge in box)
            width, height = round(x1 - x0, DECIMALS), round(y1 - y0, DECIMALS)
            ids = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1}
            area = round(width * height, DECIMALS)
            annotations.append(ids | {"bbox": [x0, y0, width, height], "area": area, "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, start=1)]
    return {"images": records, "annotations": annotations, "categories": categories}
