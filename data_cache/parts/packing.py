"""From boxes in any order to the arrays of a part cache, for what is imported and not detected here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import printable
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import (
    STATUS_EMPTY,
    STATUS_FAILED,
    STATUS_FOUND,
    PartBoxes,
    read_parts,
    require_fingerprint,
    write_parts,
)
from data_cache.parts.shards import alone_on


@dataclass(frozen=True)
class ImageEntry:
    """An image of an import: its name, its size in pixels, and why it failed, if it did (then its size may be 0)."""

    name: str
    width: int
    height: int
    failure: str = ""


@dataclass(frozen=True, eq=False)
class LooseBoxes:
    """M boxes in any order: image (M,) numbers the images; boxes (M, 4) xyxy in pixels; scores (M,); labels (M,)."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.image)
        shapes = (self.boxes.shape, self.scores.shape, self.labels.shape)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"{count} images need boxes ({count}, 4), scores and labels ({count},), got {shapes}")

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: NDArray[Any]) -> "LooseBoxes":
        """Return the boxes of those rows (integers, in that order, or a mask)."""
        return LooseBoxes(self.image[rows], self.boxes[rows], self.scores[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Imported:
    """A part cache made from other files, and what the user is to know of it, a line each."""

    parts: PartBoxes
    remarks: tuple[str, ...]

    def to_dict(self, path: Path) -> dict[str, Any]:
        """Return what was written to `path` as printable JSON values."""
        status = np.bincount(self.parts.status, minlength=STATUS_FAILED + 1)
        counts = {"images": len(self.parts.names), "boxes": int((self.parts.labels >= 0).sum())}
        states = {"found": STATUS_FOUND, "empty": STATUS_EMPTY, "failed": STATUS_FAILED}
        counts |= {name: int(status[state]) for name, state in states.items()}
        failures = [f"{name} ({why})" for name, why in zip(self.parts.names, self.parts.failure, strict=True) if why]
        first = failures[0] if failures else ""
        return {"output": str(path), **counts, "first_failure": first, "remarks": list(self.remarks)}

    def line(self, path: Path) -> str:
        """Return what was written to `path` as one line."""
        told = self.to_dict(path)
        counts = f"{told['images']} images, {told['boxes']} parts, {told['empty']} empty, {told['failed']} failed"
        return f"{path}: {counts}" + (f", first {printable(told['first_failure'])}" if told["failed"] else "")


def pack_boxes(
    images: Sequence[ImageEntry],
    found: LooseBoxes,
    *,
    places: int,
    part_names: tuple[str, ...],
    fingerprint: Mapping[str, Any],
) -> PartBoxes:
    """Return the cache of all `images`, sorted by name, with the `places` (K) most confident boxes of each.

    Boxes of equal score stand in the order of x0, y0, x1, y1, label. `names_sha256` and `top_k` enter the fingerprint
    here. Raises UserError for what breaks the cache's contract: a doubled name, a box outside its image.
    """
    count = len(images)
    order = sorted(range(count), key=lambda index: images[index].name)
    entries = [images[index] for index in order]
    row_of = np.empty(count, np.int64)
    row_of[order] = np.arange(count)
    rows, ranks, found = _ranked(row_of[found.image], found, places)
    boxes, scores = np.zeros((count, places, 4), np.float32), np.zeros((count, places), np.float32)
    labels = np.full((count, places), -1, np.int8)
    boxes[rows, ranks], scores[rows, ranks], labels[rows, ranks] = found.boxes, found.scores, found.labels
    status = np.where((labels >= 0).any(axis=1), STATUS_FOUND, STATUS_EMPTY).astype(np.uint8)
    status[[bool(entry.failure) for entry in entries]] = STATUS_FAILED
    names = tuple(entry.name for entry in entries)
    return PartBoxes(
        names=names,
        image_size=np.array([(entry.width, entry.height) for entry in entries], np.int32).reshape(-1, 2),
        boxes=boxes,
        scores=scores,
        labels=labels,
        status=status,
        failure=tuple(entry.failure for entry in entries),
        part_names=part_names,
        fingerprint={**fingerprint, "names_sha256": sha256_of_names(list(names)), "top_k": places},
    )


def _ranked(
    rows: NDArray[np.int64], found: LooseBoxes, places: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], LooseBoxes]:
    """Return row, rank within the row, and box, of the boxes whose rank is below `places`."""
    # np.lexsort sorts by its last key first
    order = np.lexsort((found.labels, *found.boxes.T[::-1], -found.scores, rows))
    rows = rows[order]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = ranks < places
    return rows[kept], ranks[kept], found.take(order[kept])


def write_cache(
    path: Path, parts: PartBoxes, remedy: str = "delete it, or write to another place with --output"
) -> None:
    """Write a part cache, but never over one that something else made: that may be hours of a detector's work.

    Raises UserError, with the difference and the remedy, where `path` holds such a cache, or holds something else, and
    where another run is making it.
    """
    with alone_on(path):
        if path.exists():
            require_fingerprint(read_parts(path).fingerprint, parts.fingerprint, path, remedy)
        write_parts(path, parts)
