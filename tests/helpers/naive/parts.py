"""Post-processing as defined, one image and one box at a time, to compare the batched one with."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from detect.model.nms import PartBatch
from detect.recipes import DetectorRecipe


class Parts(NamedTuple):
    """Parts of one image: boxes (M, 4), scores (M,), labels (M,)."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]


def unpack(batch: PartBatch) -> list[Parts]:
    """Return the parts of each image, without empty slots."""
    arrays = (tensor.numpy() for tensor in (batch.boxes, batch.scores, batch.labels))
    return [Parts(b[c >= 0], s[c >= 0], c[c >= 0]) for b, s, c in zip(*arrays, strict=True)]


def naive_parts(
    boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], size: tuple[int, int], recipe: DetectorRecipe
) -> Parts:
    """Return the parts of an image of `size` (W, H): valid boxes in order, NMS label by label, the first top_k."""
    limits = np.float32([*size, *size])
    rows = []
    for box, score, label in zip(boxes, scores, labels, strict=True):
        if not all(math.isfinite(side) for side in box) or not recipe.score_threshold < score <= 1:
            continue
        clipped = np.minimum(np.maximum(box, np.float32(0)), limits)
        if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) >= recipe.minimum_side:
            rows.append((clipped, score, label))
    if not rows:
        return Parts(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    ordered = in_order(*(np.array(column) for column in zip(*rows, strict=True)))
    kept = []
    for label in set(ordered.labels.tolist()):
        own = np.flatnonzero(ordered.labels == label)
        chosen = nms(torch.tensor(ordered.boxes[own]), torch.tensor(ordered.scores[own]), recipe.nms_iou)
        kept += own[chosen.numpy()].tolist()
    kept = sorted(kept)[: recipe.top_k]
    return Parts(*(array[kept] for array in ordered))


def in_order(boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any]) -> Parts:
    """Return the boxes by descending score, then x0, y0, x1, y1, label."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], *boxes[row].tolist(), labels[row]))
    return Parts(boxes[order], scores[order], labels[order])


def assert_same(found: Parts, expected: Parts) -> None:
    """Assert that both are equal, in the same order."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
