"""What the detector found and what the network looks at: counts and mean attention, part by part."""

from dataclasses import dataclass

import numpy as np

from data_cache.parts import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes
from reid.features_file import Features
from reid.pictures import attends_to_parts


@dataclass(frozen=True)
class PartUse:
    """One part over all images scored: in how many it was among the boxes used, and its mean attention there.

    `attention` is the mean weight of its boxes; `equal` what it would be if all boxes of an image shared alike,
    1 / (boxes in that image); `relative` is their quotient, above 1 where the network prefers the part. All are None
    where the network does not weigh parts, or never saw this one.
    """

    name: str
    images: int
    boxes: int
    attention: float | None = None
    equal: float | None = None

    @property
    def relative(self) -> float | None:
        """attention / equal."""
        return None if self.attention is None or self.equal is None else self.attention / self.equal


@dataclass(frozen=True)
class PartStatistics:
    """Counts over the images scored; `depth` boxes of an image are used at most; `uses` has the most frequent first."""

    images: int
    found: int
    empty: int
    failed: int
    depth: int
    boxes_per_image: float
    uses: tuple[PartUse, ...]

    @property
    def largest_weight(self) -> float:
        """The largest mean attention or equal share of a part: the length of a full bar; 1 where there is none."""
        return max(
            (max(use.attention, use.equal or 0.0) for use in self.uses if use.attention is not None), default=1.0
        )


def part_statistics(parts: PartBoxes, features: Features) -> PartStatistics | None:
    """Return the statistics over the images of `features`, or None where the part cache holds no boxes at all.

    Raises UserError where an image is not in the part cache.
    """
    if not parts.labels.shape[1]:
        return None
    rows = parts.rows(features.names)
    weighed, depth = attends_to_parts(parts, features), depth_used(parts, features)
    labels, status = parts.labels[rows, :depth], parts.status[rows]
    weights = features.attention if weighed else None
    uses = [_use(name, labels == label, labels >= 0, weights) for label, name in enumerate(parts.part_names)]
    return PartStatistics(
        images=len(rows),
        found=int((status == STATUS_FOUND).sum()),
        empty=int((status == STATUS_EMPTY).sum()),
        failed=int((status == STATUS_FAILED).sum()),
        depth=depth,
        boxes_per_image=float((labels >= 0).sum(axis=1).mean()),
        uses=tuple(sorted(uses, key=lambda use: -use.images)),
    )


def depth_used(parts: PartBoxes, features: Features) -> int:
    """Return how many boxes of an image are used at most: those that the network weighs, else all in the cache."""
    return features.attention.shape[1] if attends_to_parts(parts, features) else parts.labels.shape[1]


def _use(
    name: str,
    is_part: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
) -> PartUse:
    images, boxes = int(is_part.any(axis=1).sum()), int(is_part.sum())
    if weights is None or not boxes:
        return PartUse(name, images, boxes)
    equal = np.broadcast_to(1 / np.maximum(present.sum(axis=1, keepdims=True), 1), is_part.shape)
    return PartUse(name, images, boxes, float(weights[is_part].mean(dtype=np.float64)), float(equal[is_part].mean()))
