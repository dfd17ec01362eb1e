"""From raw boxes and scores of one image to its parts: sanitise, suppress doubles, keep the most confident.

torchvision's NMS ranks NaN scores first and its RoI operators crash on NaN boxes (pytorch/vision issues 7659, 9273), so
nothing that is not finite and inside its image leaves this module.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.recipes import DetectorRecipe

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RawParts:
    """Parts of one image: boxes (M, 4) float32 xyxy in its pixels, scores (M,), labels (M,)."""

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise ValueError(f"{count} scores need boxes ({count}, 4) and labels, got {self.boxes.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[Any]) -> "RawParts":
        """Return the parts of those rows (integers, in that order, or a mask)."""
        return RawParts(self.boxes[rows], self.scores[rows], self.labels[rows])


def sanitise(parts: RawParts, width: int, height: int, minimum_side: float) -> RawParts:
    """Return what is finite, clipped to the image, with sides of `minimum_side` pixels or more and a score in [0, 1].

    A part is dropped, not mended, where a number is not finite or a score is out of range.
    """
    in_range = (parts.scores >= 0) & (parts.scores <= 1)  # NaN compares false
    parts = parts.take(np.flatnonzero(np.isfinite(parts.boxes).all(axis=1) & in_range))
    limit = np.array([width, height, width, height], dtype=np.float32)
    boxes = np.clip(parts.boxes, np.float32(0), limit)
    smaller_side = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return RawParts(boxes, parts.scores, parts.labels).take(np.flatnonzero(smaller_side >= minimum_side))


def by_confidence(parts: RawParts) -> RawParts:
    """Return `parts` by falling score; equal scores by x0, y0, x1, y1, then label, so that the order is one alone."""
    keys = (parts.labels, *parts.boxes.T[::-1], -parts.scores)  # np.lexsort sorts by its last key first
    return parts.take(np.lexsort(keys))


def suppress_doubles(parts: RawParts, iou: float) -> RawParts:
    """Drop every part that overlaps a more confident one of the same label by more than `iou`; keeps the order."""
    import torch
    from torchvision.ops import batched_nms

    arrays = (torch.from_numpy(np.ascontiguousarray(array)) for array in (parts.boxes, parts.scores, parts.labels))
    return parts.take(np.sort(batched_nms(*arrays, iou).numpy()))


def finish(parts: RawParts, width: int, height: int, recipe: DetectorRecipe) -> RawParts:
    """Return the parts of an image of `width` x `height` pixels as they enter the cache: at most `recipe.top_k`."""
    parts = parts.take(parts.scores > recipe.score_threshold)
    ranked = by_confidence(sanitise(parts, width, height, recipe.minimum_side))
    kept = suppress_doubles(ranked, recipe.nms_iou)
    return kept.take(np.arange(min(len(kept), recipe.top_k)))
