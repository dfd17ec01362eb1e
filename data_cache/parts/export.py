"""Export of a part cache's boxes for other tools: COCO results, a COCO document, or CSV."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.coco import Identifier, read_document, read_index
from data_cache.parts.verification import count_notes

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["coco-results", "coco", "csv"]
Ids = Mapping[int, Identifier]  # of images by row of the cache, of parts by label


@dataclass(frozen=True, eq=False)
class Export:
    """The content of an exported file, its numbers of images and boxes, and notes for the user."""

    content: bytes
    images: int
    boxes: int
    notes: tuple[str, ...] = ()


def export_boxes(parts: PartBoxes, kind: Kind, annotations: Path | None = None) -> Export:
    """Return the boxes of `parts` as a file of that `kind`; the same cache gives the same bytes.

    With a COCO file `annotations`, ids are taken from it, of images by `file_name` and of parts by category name, and
    others are left out; else images are numbered from 1 in cache order, and parts in the order of the part names.
    Numbers are written so that float32 reads them back exactly. Raises UserError if the two have nothing in common.
    """
    if kind == "csv":
        table = _box_table(parts)
        return Export(table.to_csv(index=False, lineterminator="\n").encode(), len(parts.names), len(table))
    rows = np.flatnonzero(parts.status != STATUS_FAILED).tolist()  # a failed image would seem to have no parts
    image_ids: Ids = {row: row + 1 for row in rows}
    part_ids: Ids = {label: label + 1 for label in range(len(parts.part_names))}
    absent = 0
    if annotations is not None:
        image_ids, part_ids, absent = _ids_from(annotations, parts, rows)
    results = _results(parts, image_ids, part_ids)
    document = results if kind == "coco-results" else _document(parts, results, image_ids, part_ids)
    notes = count_notes(
        {
            "failed images are left out": len(parts.names) - len(rows),
            "images that the annotations do not have are left out": len(rows) - len(image_ids),
            "boxes are left out with their image or their part": parts.counts()["boxes"] - len(results),
            "images of the annotations are not in the cache": absent,
        }
    )
    content = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return Export(content.encode(), len(image_ids), len(results), tuple(notes))


def _ids_from(annotations: Path, parts: PartBoxes, rows: Sequence[int]) -> tuple[Ids, Ids, int]:
    """Return the ids that a COCO file gives to the images in these rows and to the parts, and how many only it has.

    Raises UserError if they share no image or no part, or if the size of an image differs.
    """
    index = read_index(annotations, read_document(annotations))
    image_ids = {entry.name: key for key, entry in index.images.items()}
    part_ids = {name: key for key, name in index.categories.items()}
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
    return images, labels, len(image_ids) - len(images)


def _results(parts: PartBoxes, image_ids: Ids, part_ids: Ids) -> list[dict[str, Any]]:
    """Return the boxes of images and parts that have an id, by row and rank."""
    rows, ranks = np.nonzero(parts.labels >= 0)
    corners = parts.boxes[rows, ranks].astype(np.float64)  # exact, so that x0 + (x1 - x0) is x1 again in float32
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    columns = (rows, parts.labels[rows, ranks], xywh, parts.scores[rows, ranks])
    return [
        {"image_id": image_ids[row], "category_id": part_ids[label], "bbox": box, "score": score}
        for row, label, box, score in zip(*(column.tolist() for column in columns), strict=True)
        if row in image_ids and label in part_ids
    ]


def _document(parts: PartBoxes, results: Sequence[dict[str, Any]], image_ids: Ids, part_ids: Ids) -> dict[str, Any]:
    sizes = parts.image_size.tolist()
    return {
        "info": {"description": "detected parts", "fingerprint": parts.fingerprint},
        "images": [
            {"id": key, "file_name": parts.names[row], "width": sizes[row][0], "height": sizes[row][1]}
            for row, key in image_ids.items()
        ],
        "annotations": [
            {"id": number, **record, "area": record["bbox"][2] * record["bbox"][3], "iscrowd": 0}
            for number, record in enumerate(results, start=1)
        ],
        "categories": [{"id": key, "name": parts.part_names[label]} for label, key in part_ids.items()],
    }


def _box_table(parts: PartBoxes) -> "pd.DataFrame":
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
