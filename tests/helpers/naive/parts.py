"""Post-processing as its definition reads, one image and one box at a time, to compare the batched one with."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from detect.model.nms import RawParts
from detect.recipes import DetectorRecipe


def naive_parts(
    boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], size: tuple[int, int], recipe: DetectorRecipe
) -> RawParts:
    """Return the parts of an image of `size` (W, H): sound boxes in order, NMS label by label, the first top_k."""
    limits = np.float32([*size, *size])
    rows = []
    for box, score, label in zip(boxes, scores, labels, strict=True):
        if not all(math.isfinite(side) for side in box) or not recipe.score_threshold < score <= 1:
            continue
        clipped = np.minimum(np.maximum(box, np.float32(0)), limits)
        if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) >= recipe.minimum_side:
            rows.append((clipped, score, label))
    ordered = in_order(*(np.array(column) for column in zip(*rows, strict=True))) if rows else empty()
    kept = []
    for label in set(ordered.labels.tolist()):
        own = np.flatnonzero(ordered.labels == label)
        chosen = nms(torch.tensor(ordered.boxes[own]), torch.tensor(ordered.scores[own]), recipe.nms_iou)
        kept += own[chosen.numpy()].tolist()
    kept = sorted(kept)[: recipe.top_k]
    return RawParts(ordered.boxes[kept], ordered.scores[kept], ordered.labels[kept])


def in_order(boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any]) -> RawParts:
    """Return the boxes by falling score, then x0, y0, x1, y1, label."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], *boxes[row].tolist(), labels[row]))
    return RawParts(boxes[order], scores[order], labels[order])


def empty() -> RawParts:
    """Return no part."""
    return RawParts(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def assert_same(found: RawParts, wanted: RawParts) -> None:
    """Assert that both hold the same numbers in the same order."""
    for name in ("scores", "labels", "boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
