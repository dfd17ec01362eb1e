"""Part caches from the boxes of any other detector, or drawn by hand, given as COCO JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.files import read_json, sha256_of_file
from data_cache.datasets.dataset import Dataset
from data_cache.parts.coco import (
    CocoIndex,
    Identifier,
    corners,
    faults_of,
    identifier,
    list_in,
    number,
    raise_faults,
    read_document,
    read_index,
    required,
)
from data_cache.parts.packing import Imported, LooseBoxes, pack_boxes
from data_cache.parts.verification import differing_names, first_of

CERTAIN = 1.0  # the score of a box that has none: drawn by hand
COLUMNS = 7  # of a box: image, label, score, x0, y0, x1, y1
Boxes = NDArray[np.float64]  # (M, COLUMNS)


def import_coco(path: Path, *, dataset: Dataset | None, top_k: int) -> Imported:
    """Return the boxes of a full COCO document; an annotation without `score` counts as certain.

    Every image of the file has a row. Raises UserError with the number of faults and the first of them.
    """
    document = read_document(path)
    index, records = read_index(path, document), list_in(path, document, "annotations")
    boxes = _boxes(path, "annotations", records, index, score_needed=False)
    return _packed(path, boxes, index, {"file_sha256": sha256_of_file(path)}, dataset, top_k)


def import_coco_results(results: Path, images: Path, *, dataset: Dataset | None, top_k: int) -> Imported:
    """Return the boxes of a COCO results file, whose images and categories are those of the COCO file `images`.

    Every image of that file has a row. Raises UserError with the number of faults and the first of them.
    """
    index = read_index(images, read_document(images))
    records = read_json(results)
    if not isinstance(records, list):
        raise UserError(f"{results}: not COCO results (a JSON list); a full document is read with --coco")
    boxes = _boxes(results, "results", records, index, score_needed=True)
    hashes = {"file_sha256": sha256_of_file(results), "images_sha256": sha256_of_file(images)}
    return _packed(images, boxes, index, hashes, dataset, top_k)


def _boxes(path: Path, key: str, records: list[Any], index: CocoIndex, *, score_needed: bool) -> Boxes:
    """Return the boxes, the score NaN where there is none, not clipped. Raises UserError for the faults."""
    image_of = {identity: row for row, identity in enumerate(index.images)}
    label_of = {identity: label for label, identity in enumerate(index.categories)}
    boxes: list[tuple[float, ...]] = []
    found = faults_of(key, records, lambda record: boxes.append(_box(record, image_of, label_of, score_needed)))
    raise_faults(path, found)
    return np.array(boxes, dtype=np.float64).reshape(-1, COLUMNS)


def _box(
    record: Any, image_of: Mapping[Identifier, int], label_of: Mapping[Identifier, int], score_needed: bool
) -> tuple[float, ...]:
    image, category = identifier(record, "image_id"), identifier(record, "category_id")
    if image not in image_of:
        raise RecordFault(f"no image has id {short_repr(image)}")
    if category not in label_of:
        raise RecordFault(f"no category has id {short_repr(category)}")
    score = float("nan")
    if score_needed or record.get("score") is not None:
        score = number(required(record, "score"), "score")
        if not 0 <= score <= 1:
            raise RecordFault(f"`score` {score} is not in [0, 1]")
    return image_of[image], label_of[category], score, *corners(record)


def _packed(
    path: Path, boxes: Boxes, index: CocoIndex, hashes: Mapping[str, str], dataset: Dataset | None, top_k: int
) -> Imported:
    images = list(index.images.values())
    image, unscored = boxes[:, 0].astype(np.int64), np.isnan(boxes[:, 2])
    # Clipped before float32, which cannot hold every number of a JSON file.
    limit = np.array([(entry.width, entry.height) * 2 for entry in images], dtype=np.float64)[image]
    clipped = np.clip(boxes[:, 3:], 0, limit).astype(np.float32)
    scores = np.where(unscored, CERTAIN, boxes[:, 2]).astype(np.float32)
    found = LooseBoxes(image, clipped, scores, boxes[:, 1].astype(np.int64))
    whole = found.take(np.asarray((clipped[:, 2:] > clipped[:, :2]).all(axis=1)))
    parts = pack_boxes(
        images,
        whole,
        places=top_k,
        part_names=tuple(index.categories.values()),
        fingerprint={
            "source": "coco",
            **hashes,
            **({"scores": "1 where the file gives none"} if unscored.any() else {}),
            "dataset": None if dataset is None else dataset.name,
        },
    )
    counts = {
        "boxes without area inside their image were dropped": len(found) - len(whole),
        f"boxes beyond the {top_k} most confident of their image were left out": len(whole)
        - int((parts.labels >= 0).sum()),
        f"boxes without a score count as certain, {CERTAIN}": int(unscored.sum()),
    }
    remarks = [f"{count} {what}" for what, count in counts.items() if count]
    return Imported(parts, tuple(remarks + _beside(dataset, path, parts.names)))


def _beside(dataset: Dataset | None, path: Path, names: tuple[str, ...]) -> list[str]:
    """Return what the user is to know of the names beside the data set's. Raises UserError where none is shared."""
    if dataset is None:
        return []
    missing, extra = differing_names(names, dataset)
    if len(extra) == len(names):
        raise UserError(
            f"{path}: none of its {len(names)} images is in {dataset.name}, first {names[0]}; "
            f"`file_name` must be the path below {dataset.root}, as in {missing[0]}"
        )
    return [
        *first_of(missing, f"images of {dataset.name} are not in {path} and will be missed in training"),
        *first_of(extra, f"images are not in {dataset.name}"),
    ]
