"""Post-processing of detections: drop invalid boxes, sort by score, suppress duplicates (NMS), keep the best.

Every step is a tensor operation over the whole batch, on the device that holds it. torchvision's NMS ranks NaN scores
first and its RoI operators crash on NaN boxes (pytorch/vision issues 7659, 9273), so every box that leaves this module
is finite and inside its image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from detect.recipes import DetectorRecipe


@dataclass(frozen=True, eq=False)
class PartBatch:
    """Parts of B images in N slots each: boxes (B, N, 4) float32 xyxy, scores (B, N) float32, labels (B, N) int64.

    An empty slot holds 0, 0 and -1, as in the part cache.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def take(self, slots: Tensor) -> "PartBatch":
        """Return the parts in `slots` (B, M) int64 of each image, in that order."""
        boxes = self.boxes.gather(1, slots[..., None].expand(-1, -1, 4))
        return PartBatch(boxes, self.scores.gather(1, slots), self.labels.gather(1, slots))


def postprocess(candidates: PartBatch, sizes: Tensor, recipe: DetectorRecipe) -> PartBatch:
    """Return the parts of images of `sizes` (B, 2) (W, H), in `recipe.top_k` slots per image.

    Boxes of `candidates` are in pixels of their image.
    """
    return nms(sort_by_score(drop_invalid(candidates, sizes, recipe)), recipe.nms_iou, recipe.top_k)


def drop_invalid(candidates: PartBatch, sizes: Tensor, recipe: DetectorRecipe) -> PartBatch:
    """Clip boxes to their image and empty the slots of invalid ones; append one empty slot, which `nms` needs.

    A box is invalid if a coordinate is not finite, if a side is shorter than `recipe.minimum_side` after clipping, or
    if its score is not above the threshold and at most 1.
    """
    boxes = candidates.boxes.clamp(min=0).minimum(sizes.to(candidates.boxes).repeat(1, 2)[:, None])
    large = (boxes[..., 2:] - boxes[..., :2] >= recipe.minimum_side).all(-1)
    confident = (candidates.scores > recipe.score_threshold) & (candidates.scores <= 1)  # False for NaN
    valid = candidates.boxes.isfinite().all(-1) & large & confident
    return PartBatch(
        functional.pad(torch.where(valid[..., None], boxes, 0), (0, 0, 0, 1)),
        functional.pad(torch.where(valid, candidates.scores, 0), (0, 1)),
        functional.pad(torch.where(valid, candidates.labels, -1), (0, 1), value=-1),
    )


def sort_by_score(parts: PartBatch) -> PartBatch:
    """Sort by descending score, then x0, y0, x1, y1 and label, so that ties have one order."""
    order = torch.arange(parts.scores.shape[1], device=parts.scores.device).expand_as(parts.scores)
    for key in (parts.labels, *parts.boxes.unbind(-1)[::-1], -parts.scores):  # stable sorts: the last key comes first
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return parts.take(order)


def nms(parts: PartBatch, iou_threshold: float, top_k: int) -> PartBatch:
    """Return the first `top_k` boxes that no kept box of the same label overlaps by more than `iou_threshold`.

    `parts` is sorted, and its last slot is empty. Each of the `top_k` steps keeps one box of every image; the IoU of
    all pairs, (B, N, N), would cost a CPU a hundred times more at N = 400.
    """
    remaining = parts.labels >= 0
    kept = []
    for _ in range(top_k):
        present, first = remaining.max(dim=1, keepdim=True)
        first = torch.where(present, first, parts.labels.shape[1] - 1)
        best = parts.take(first)
        remaining &= ~((iou(best.boxes, parts.boxes) > iou_threshold) & (best.labels == parts.labels))
        remaining.scatter_(1, first, False)
        kept.append(first)
    return parts.take(torch.cat(kept, dim=1))


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of broadcast xyxy boxes (..., 4); NaN if both have no area."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    intersection = width * height
    return intersection / (_area(first) + _area(second) - intersection)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
