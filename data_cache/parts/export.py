"""The boxes of a part cache for other tools: COCO results, a COCO document, or a CSV."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.coco import Identifier, read_document, read_index

Kind = Literal["coco-results", "coco", "csv"]


@dataclass(frozen=True, eq=False)
class Export:
    """The content of an exported file, the images and boxes in it, and what the user is to know, a line each."""

    content: bytes
    images: int
    boxes: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Identifiers:
    """Ids of images (row of the cache to id) and of parts (label to id); what is in neither is left out."""

    images: Mapping[int, Identifier]
    parts: Mapping[int, Identifier]


@dataclass(frozen=True, eq=False)
class _Box:
    row: int
    label: int
    xywh: list[float]
    score: float


def export_boxes(parts: PartBoxes, kind: Kind, annotations: Path | None = None) -> Export:
    """Return the boxes of `parts` as a file of that `kind`; the same cache gives the same bytes.

    With `annotations`, a COCO file, ids are taken from there, images by `file_name` and parts by category name, and
    what it does not have is left out; else images count from 1 in the order of the cache, parts in that of its names.
    Numbers are written so that float32 reads them back exactly. Raises UserError where the two have nothing in common.
    """
    if kind == "csv":
        table = box_table(parts)
        return Export(table.to_csv(index=False, lineterminator="\n").encode(), len(parts.names), len(table))
    identifiers, absent = (own_identifiers(parts), 0) if annotations is None else identifiers_of(parts, annotations)
    boxes = [box for box in _boxes(parts) if box.row in identifiers.images and box.label in identifiers.parts]
    document = _results(boxes, identifiers) if kind == "coco-results" else _document(parts, boxes, identifiers)
    content = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    remarks = _remarks(parts, len(boxes), len(identifiers.images), absent)
    return Export(content.encode(), len(identifiers.images), len(boxes), remarks)


def own_identifiers(parts: PartBoxes) -> Identifiers:
    """Return rows and labels counted from 1; images that failed have none: they would pass for images without parts."""
    rows = np.flatnonzero(parts.status != STATUS_FAILED).tolist()
    return Identifiers({row: row + 1 for row in rows}, {label: label + 1 for label in range(len(parts.part_names))})


def identifiers_of(parts: PartBoxes, annotations: Path) -> tuple[Identifiers, int]:
    """Return the ids that a COCO file gives to the cache's images and parts, and how many images only it has.

    Raises UserError where they share no image or no part, or where an image has another size there.
    """
    index = read_index(annotations, read_document(annotations))
    image_ids = {entry.name: key for key, entry in index.images.items()}
    part_ids = {name: key for key, name in index.categories.items()}
    own = own_identifiers(parts)
    images = {row: image_ids[parts.names[row]] for row in own.images if parts.names[row] in image_ids}
    labels = {label: part_ids[name] for label, name in enumerate(parts.part_names) if name in part_ids}
    if not images:
        raise UserError(f"{annotations}: none of its images is in the cache, first {next(iter(image_ids))}")
    if not labels:
        raise UserError(f"{annotations}: none of its categories is a part of the cache, first {next(iter(part_ids))}")
    for row, key in images.items():
        there, here = (index.images[key].width, index.images[key].height), tuple(parts.image_size[row].tolist())
        if there != here:
            raise UserError(f"{annotations}: {parts.names[row]} has the size {there}, in the cache {here}")
    return Identifiers(images, labels), len(image_ids) - len(images)


def _boxes(parts: PartBoxes) -> list[_Box]:
    """Return all boxes by row and rank; float64 holds the difference of two float32 so that their sum comes back."""
    rows, ranks = np.nonzero(parts.labels >= 0)
    corners: NDArray[np.float64] = parts.boxes[rows, ranks].astype(np.float64)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    columns = (rows, parts.labels[rows, ranks], xywh, parts.scores[rows, ranks])
    return [_Box(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _results(boxes: list[_Box], identifiers: Identifiers) -> list[dict[str, Any]]:
    return [
        {
            "image_id": identifiers.images[box.row],
            "category_id": identifiers.parts[box.label],
            "bbox": box.xywh,
            "score": box.score,
        }
        for box in boxes
    ]


def _document(parts: PartBoxes, boxes: list[_Box], identifiers: Identifiers) -> dict[str, Any]:
    sizes = parts.image_size.tolist()
    images = [
        {"id": key, "file_name": parts.names[row], "width": sizes[row][0], "height": sizes[row][1]}
        for row, key in identifiers.images.items()
    ]
    annotations = [
        {"id": number, **record, "area": box.xywh[2] * box.xywh[3], "iscrowd": 0}
        for number, (box, record) in enumerate(zip(boxes, _results(boxes, identifiers), strict=True), start=1)
    ]
    categories = [{"id": key, "name": parts.part_names[label]} for label, key in identifiers.parts.items()]
    told = {"description": "detected parts", "fingerprint": parts.fingerprint}
    return {"info": told, "images": images, "annotations": annotations, "categories": categories}


def _remarks(parts: PartBoxes, boxes: int, images: int, absent: int) -> tuple[str, ...]:
    failed = int((parts.status == STATUS_FAILED).sum())
    counts = {
        "images that failed are left out": failed,
        "images that the annotations do not have are left out": len(parts.names) - failed - images,
        "boxes are left out with their image or their part": int((parts.labels >= 0).sum()) - boxes,
        "images of the annotations are not in the cache": absent,
    }
    return tuple(f"{count} {what}" for what, count in counts.items() if count)


def box_table(parts: PartBoxes) -> Any:
    """Return a pandas table, a row a box: name, rank (1 is the most confident), part, score, corners, image size."""
    import pandas as pd

    rows, ranks = np.nonzero(parts.labels >= 0)
    corners, sizes = parts.boxes[rows, ranks], parts.image_size[rows]
    return pd.DataFrame(
        {
            "name": [parts.names[row] for row in rows],
            "rank": ranks + 1,
            "part": [parts.part_names[label] for label in parts.labels[rows, ranks]],
            "score": parts.scores[rows, ranks],
            **{side: corners[:, column] for column, side in enumerate(("x0", "y0", "x1", "y1"))},
            **{side: sizes[:, column] for column, side in enumerate(("image_width", "image_height"))},
        }
    )
