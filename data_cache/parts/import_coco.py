"""Import of part caches from COCO JSON: boxes of another detector, or drawn by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.files import read_json, sha256_of_file
from data_cache.datasets.dataset import Dataset
from data_cache.parts.coco import (
    BoxMending,
    CocoIndex,
    faults_of,
    identifier,
    list_in,
    number,
    raise_faults,
    read_document,
    read_index,
    required,
)
from data_cache.parts.packing import FlatBoxes, ImportResult, pack_boxes
from data_cache.parts.verification import count_line, count_notes, differing_names

DEFAULT_SCORE = 1.0  # of boxes without one, drawn by hand
COLUMNS = 7  # of a box: image, label, score, x0, y0, x1, y1
BoxArray = NDArray[np.float64]  # (M, COLUMNS)


def import_coco(path: Path, *, dataset: Dataset | None, top_k: int, strict: bool = False) -> ImportResult:
    """Import a COCO document with a row for every image; annotations without `score` get 1.

    Boxes are mended as `BoxMending` does. Raises UserError with the number of invalid records and the first ones.
    """
    document = read_document(path)
    index, records = read_index(path, document), list_in(path, document, "annotations")
    mending = BoxMending(strict=strict)
    boxes = _read_boxes(path, "annotations", records, index, mending, score_needed=False)
    return _pack(path, boxes, index, {"file_sha256": sha256_of_file(path)}, dataset, top_k, mending)


def import_coco_results(
    results: Path, images: Path, *, dataset: Dataset | None, top_k: int, strict: bool = False
) -> ImportResult:
    """Import a COCO results file whose images and categories are those of the COCO file `images`.

    Boxes are mended as `BoxMending` does. Raises UserError with the number of invalid records and the first ones.
    """
    index = read_index(images, read_document(images))
    records = read_json(results)
    if not isinstance(records, list):
        raise UserError(f"{results}: not COCO results (a JSON list); use --coco for a full document")
    mending = BoxMending(strict=strict)
    boxes = _read_boxes(results, "results", records, index, mending, score_needed=True)
    hashes = {"file_sha256": sha256_of_file(results), "images_sha256": sha256_of_file(images)}
    return _pack(images, boxes, index, hashes, dataset, top_k, mending)


def _read_boxes(
    path: Path, key: str, records: list[Any], index: CocoIndex, mending: BoxMending, *, score_needed: bool
) -> BoxArray:
    """Return the boxes, mended, with score NaN if missing. Raises UserError for invalid records."""
    image_of = {identity: row for row, identity in enumerate(index.images)}
    label_of = {identity: label for label, identity in enumerate(index.categories)}
    entries = list(index.images.values())
    boxes: list[tuple[float, ...]] = []

    def read(record: Any) -> None:
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
        entry = entries[image_of[image]]
        box = mending.coco_box(record, entry.width, entry.height)
        if box is not None:
            boxes.append((image_of[image], label_of[category], score, *box))

    raise_faults(path, faults_of(key, records, read))
    return np.array(boxes, dtype=np.float64).reshape(-1, COLUMNS)


def _pack(
    path: Path,
    boxes: BoxArray,
    index: CocoIndex,
    hashes: Mapping[str, str],
    dataset: Dataset | None,
    top_k: int,
    mending: BoxMending,
) -> ImportResult:
    images = list(index.images.values())
    image, unscored = boxes[:, 0].astype(np.int64), np.isnan(boxes[:, 2])
    rounded = boxes[:, 3:].astype(np.float32)
    scores = np.where(unscored, DEFAULT_SCORE, boxes[:, 2]).astype(np.float32)
    all_boxes = FlatBoxes(image, rounded, scores, boxes[:, 1].astype(np.int64))
    with_area = all_boxes.take(np.asarray((rounded[:, 2:] > rounded[:, :2]).all(axis=1)))
    parts = pack_boxes(
        images,
        with_area,
        top_k=top_k,
        part_names=tuple(index.categories.values()),
        fingerprint={
            "source": "coco",
            **hashes,
            **({"scores": "1 where the file gives none"} if unscored.any() else {}),
            "dataset": None if dataset is None else dataset.name,
        },
    )
    beyond_top_k = len(with_area) - parts.counts()["boxes"]
    notes = count_notes(
        {
            **mending.counts,
            "boxes lost their area to rounding and were dropped": len(all_boxes) - len(with_area),
            f"boxes beyond the {top_k} most confident of their image were left out": beyond_top_k,
            f"boxes without a score get {DEFAULT_SCORE}": int(unscored.sum()),
        }
    )
    return ImportResult(parts, (*notes, *_name_notes(dataset, path, parts.names)))


def _name_notes(dataset: Dataset | None, path: Path, names: tuple[str, ...]) -> list[str]:
    """Return notes on names that differ from the data set's. Raises UserError if they share none."""
    if dataset is None:
        return []
    missing, extra = differing_names(names, dataset)
    if len(extra) == len(names):
        raise UserError(
            f"{path}: none of its {len(names)} images is in {dataset.name}, first {names[0]}; "
            f"`file_name` must be the path below {dataset.root}, as in {missing[0]}"
        )
    return [
        *count_line(missing, f"images of {dataset.name} are not in {path} and will be missing in training"),
        *count_line(extra, f"images are not in {dataset.name}"),
    ]
