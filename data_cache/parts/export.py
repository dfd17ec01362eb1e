"""Export of a part cache's boxes for other tools: COCO results, a COCO document, or CSV."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.coco import Identifier, read_document, read_index

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["coco-results", "coco", "csv"]


@dataclass(frozen=True, eq=False)
class Export:
    """The content of an exported file, its numbers of images and boxes, and notes for the user."""

    content: bytes
    images: int
    boxes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CocoIds:
    """Ids of images by row of the cache, and of parts by label; images and parts without an id are left out."""

    images: Mapping[int, Identifier]
    parts: Mapping[int, Identifier]


@dataclass(frozen=True, eq=False)
class ScoredBox:
    """A box of the cache as COCO writes it."""

    row: int
    label: int
    xywh: list[float]
    score: float


def export_boxes(parts: PartBoxes, kind: Kind, annotations: Path | None = None) -> Export:
    """Return the boxes of `parts` as a file of that `kind`; the same cache gives the same bytes.

    With a COCO file `annotations`, ids are taken from it, of images by `file_name` and of parts by category name, and
    others are left out; else images are numbered from 1 in cache order, and parts in the order of the part names.
    Numbers are written so that float32 reads them back exactly. Raises UserError if the two have nothing in common.
    """
    if kind == "csv":
        table = box_table(parts)
        return Export(table.to_csv(index=False, lineterminator="\n").encode(), len(parts.names), len(table))
    ids, absent = (numbered_ids(parts), 0) if annotations is None else ids_from(annotations, parts)
    boxes = [box for box in _boxes(parts) if box.row in ids.images and box.label in ids.parts]
    document = _results(boxes, ids) if kind == "coco-results" else _document(parts, boxes, ids)
    content = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    failed = int((parts.status == STATUS_FAILED).sum())
    counts = {
        "failed images are left out": failed,
        "images that the annotations do not have are left out": len(parts.names) - failed - len(ids.images),
        "boxes are left out with their image or their part": int((parts.labels >= 0).sum()) - len(boxes),
        "images of the annotations are not in the cache": absent,
    }
    notes = tuple(f"{count} {what}" for what, count in counts.items() if count)
    return Export(content.encode(), len(ids.images), len(boxes), notes)


def numbered_ids(parts: PartBoxes) -> CocoIds:
    """Return rows and labels counted from 1; failed images have no id, or they would seem to have no parts."""
    rows = np.flatnonzero(parts.status != STATUS_FAILED).tolist()
    return CocoIds({row: row + 1 for row in rows}, {label: label + 1 for label in range(len(parts.part_names))})


def ids_from(annotations: Path, parts: PartBoxes) -> tuple[CocoIds, int]:
    """Return the ids that a COCO file gives to the cache's images and parts, and how many images only it has.

    Raises UserError if they share no image or no part, or if the size of an image differs.
    """
    index = read_index(annotations, read_document(annotations))
    image_ids = {entry.name: key for key, entry in index.images.items()}
    part_ids = {name: key for key, name in index.categories.items()}
    rows = numbered_ids(parts).images
    images = {row: image_ids[parts.names[row]] for row in rows if parts.names[row] in image_ids}
    labels = {label: part_ids[name] for label, name in enumerate(parts.part_names) if name in part_ids}
    if not images:
        raise UserError(f"{annotations}: none of its images is in the cache, first {next(iter(image_ids))}")
    if not labels:
        raise UserError(f"{annotations}: none of its categories is a part of the cache, first {next(iter(part_ids))}")
    for row, key in images.items():
        there, here = (index.images[key].width, index.images[key].height), tuple(parts.image_size[row].tolist())
        if there != here:
            raise UserError(f"{annotations}: {parts.names[row]} has the size {there}, in the cache {here}")
    return CocoIds(images, labels), len(image_ids) - len(images)


def _boxes(parts: PartBoxes) -> list[ScoredBox]:
    """Return all boxes by row and rank; float64 represents x1 - x0 so that x0 + (x1 - x0) is x1 again in float32."""
    rows, ranks = np.nonzero(parts.labels >= 0)
    corners = parts.boxes[rows, ranks].astype(np.float64)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    columns = (rows, parts.labels[rows, ranks], xywh, parts.scores[rows, ranks])
    return [ScoredBox(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _results(boxes: list[ScoredBox], ids: CocoIds) -> list[dict[str, Any]]:
    return [
        {
            "image_id": ids.images[box.row],
            "category_id": ids.parts[box.label],
            "bbox": box.xywh,
            "score": box.score,
        }
        for box in boxes
    ]


def _document(parts: PartBoxes, boxes: list[ScoredBox], ids: CocoIds) -> dict[str, Any]:
    sizes = parts.image_size.tolist()
    images = [
        {"id": key, "file_name": parts.names[row], "width": sizes[row][0], "height": sizes[row][1]}
        for row, key in ids.images.items()
    ]
    annotations = [
        {"id": number, **record, "area": box.xywh[2] * box.xywh[3], "iscrowd": 0}
        for number, (box, record) in enumerate(zip(boxes, _results(boxes, ids), strict=True), start=1)
    ]
    categories = [{"id": key, "name": parts.part_names[label]} for label, key in ids.parts.items()]
    info = {"description": "detected parts", "fingerprint": parts.fingerprint}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def box_table(parts: PartBoxes) -> "pd.DataFrame":
    """Return a row per box: name, rank (1 is the most confident), part, score, corners, image size."""
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
