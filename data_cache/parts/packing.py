"""Packing boxes in any order into the arrays of a part cache, for caches that are imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import printable
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, TURNED, PartBoxes, read_parts, write_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.shards import output_lock


@dataclass(frozen=True)
class ImageEntry:
    """An image to import: name, size in pixels (0 if unknown), and the reason if it failed."""

    name: str
    width: int
    height: int
    failure: str = ""


@dataclass(frozen=True, eq=False)
class FlatBoxes:
    """M boxes of several images in any order: image index (M,), boxes (M, 4) xyxy in pixels, scores and labels (M,)."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: NDArray[Any]) -> "FlatBoxes":
        """Return the boxes of the given indices or mask."""
        return FlatBoxes(self.image[rows], self.boxes[rows], self.scores[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class ImportResult:
    """An imported part cache, and notes for the user."""

    parts: PartBoxes
    notes: tuple[str, ...]

    def to_dict(self, path: Path) -> dict[str, Any]:
        """Return a summary of the cache written to `path` as JSON values."""
        failures = [f"{name} ({why})" for name, why in zip(self.parts.names, self.parts.failure, strict=True) if why]
        first = failures[0] if failures else ""
        return {"output": str(path), **self.parts.counts(), "first_failure": first, "notes": list(self.notes)}

    def line(self, path: Path) -> str:
        """Return the summary as one line."""
        summary = self.to_dict(path)
        counts = "{images} images, {boxes} boxes, {empty} empty, {failed} failed".format_map(summary)
        return f"{path}: {counts}" + (f", first {printable(summary['first_failure'])}" if summary["failed"] else "")


def pack_boxes(
    images: Sequence[ImageEntry],
    boxes: FlatBoxes,
    *,
    top_k: int,
    part_names: tuple[str, ...],
    fingerprint: Mapping[str, Any],
) -> PartBoxes:
    """Return the cache of all `images`, sorted by name, with the `top_k` most confident boxes of each.

    Boxes of equal score are sorted by x0, y0, x1, y1, label. Adds `names_sha256` and `top_k` to the fingerprint.
    Raises UserError if the cache's contract is violated, such as by a duplicate name or a box outside its image.
    """
    count = len(images)
    order = sorted(range(count), key=lambda index: images[index].name)
    entries = [images[index] for index in order]
    row_of = np.argsort(order)
    # np.lexsort sorts by its last key first
    by_rank = np.lexsort((boxes.labels, *boxes.boxes.T[::-1], -boxes.scores, row_of[boxes.image]))
    rows = row_of[boxes.image[by_rank]]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    fits = ranks < top_k
    rows, ranks, kept = rows[fits], ranks[fits], boxes.take(by_rank[fits])
    slots, scores = np.zeros((count, top_k, 4), np.float32), np.zeros((count, top_k), np.float32)
    labels = np.full((count, top_k), -1, np.int8)
    slots[rows, ranks], scores[rows, ranks], labels[rows, ranks] = kept.boxes, kept.scores, kept.labels
    status = np.where((labels >= 0).any(axis=1), STATUS_FOUND, STATUS_EMPTY).astype(np.uint8)
    status[[bool(entry.failure) for entry in entries]] = STATUS_FAILED
    names = tuple(entry.name for entry in entries)
    return PartBoxes(
        names=names,
        image_size=np.array([(entry.width, entry.height) for entry in entries], np.int32).reshape(-1, 2),
        boxes=slots,
        scores=scores,
        labels=labels,
        status=status,
        failure=tuple(entry.failure for entry in entries),
        part_names=part_names,
        fingerprint={**fingerprint, **TURNED, "names_sha256": sha256_of_names(list(names)), "top_k": top_k},
    )


def write_cache(path: Path, parts: PartBoxes, remedy: str = "delete it, or choose another file with --output") -> None:
    """Write a part cache, but never replace one of another fingerprint: it may be hours of a detector's work.

    Raises UserError with the difference and the remedy if `path` is such a cache or another file, or if another run
    is writing it.
    """
    with output_lock(path):
        if path.exists():
            require_fingerprint(read_parts(path).fingerprint, parts.fingerprint, path, remedy)
        write_parts(path, parts)
