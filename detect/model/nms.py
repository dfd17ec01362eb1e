"""From the candidate boxes of a batch to its parts: sanitise, order, suppress doubles, keep the most confident.

Every step is a tensor operation over the whole batch, on the device where the candidates lie. torchvision's NMS ranks
NaN scores first and its RoI operators crash on NaN boxes (pytorch/vision issues 7659, 9273), so nothing that is not
finite and inside its image leaves this module.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detect.recipes import DetectorRecipe


@dataclass(frozen=True, eq=False)
class RawParts:
    """Parts of one image: boxes (M, 4) float32 xyxy in its pixels, scores (M,), labels (M,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise ValueError(f"{count} scores need boxes ({count}, 4) and labels, got {self.boxes.shape}")

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class PartBatch:
    """Boxes of B images, N places an image: boxes (B, N, 4) float32 xyxy, scores (B, N) float32, labels (B, N) int64.

    An empty place holds 0, 0 and -1, as in the part cache.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def take(self, places: Tensor) -> "PartBatch":
        """Return the boxes at `places` (B, M) int64 of each image, in that order."""
        boxes = self.boxes.gather(1, places[..., None].expand(-1, -1, 4))
        return PartBatch(boxes, self.scores.gather(1, places), self.labels.gather(1, places))

    def split(self) -> list[RawParts]:
        """Return the parts of each image, without the empty places, on the host."""
        boxes, scores, labels = (tensor.cpu().numpy() for tensor in (self.boxes, self.scores, self.labels))
        return [RawParts(b[c >= 0], s[c >= 0], c[c >= 0]) for b, s, c in zip(boxes, scores, labels, strict=True)]


def finish(found: PartBatch, sizes: Tensor, recipe: DetectorRecipe) -> PartBatch:
    """Return the parts of images of `sizes` (B, 2) (W, H) as they enter the cache, `recipe.top_k` places an image.

    The boxes of `found` are in pixels of their image.
    """
    return suppress_doubles(by_confidence(sanitise(found, sizes, recipe)), recipe.nms_iou, recipe.top_k)


def sanitise(found: PartBatch, sizes: Tensor, recipe: DetectorRecipe) -> PartBatch:
    """Return what is finite, clipped to its image, large enough, and has a score above the threshold and up to 1.

    A box is dropped, not mended, where a number is not finite or a score is out of range. The last place is empty.
    """
    boxes = found.boxes.clamp(min=0).minimum(sizes.to(found.boxes).repeat(1, 2)[:, None])
    large = (boxes[..., 2:] - boxes[..., :2] >= recipe.minimum_side).all(-1)
    confident = (found.scores > recipe.score_threshold) & (found.scores <= 1)  # NaN compares false
    sound = found.boxes.isfinite().all(-1) & large & confident
    return PartBatch(
        functional.pad(torch.where(sound[..., None], boxes, 0), (0, 0, 0, 1)),
        functional.pad(torch.where(sound, found.scores, 0), (0, 1)),
        functional.pad(torch.where(sound, found.labels, -1), (0, 1), value=-1),
    )


def by_confidence(found: PartBatch) -> PartBatch:
    """Order by falling score; equal scores by x0, y0, x1, y1, then label, so that the order is one alone."""
    order = torch.arange(found.scores.shape[1], device=found.scores.device).expand_as(found.scores)
    for key in (found.labels, *found.boxes.unbind(-1)[::-1], -found.scores):  # the last and stable sort decides first
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return found.take(order)


def suppress_doubles(found: PartBatch, iou: float, places: int) -> PartBatch:
    """Greedy NMS: return the first `places` that no box before them of the same label overlaps by more than `iou`.

    `found` is ordered, its last place empty. One box of every image is taken a turn, so the turns are as many as the
    places; all pairs at once would be (B, N, N) numbers, which costs a CPU a hundred times more at N = 400.
    """
    left = found.labels >= 0
    taken = []
    for _ in range(places):
        present, first = left.max(dim=1, keepdim=True)
        first = torch.where(present, first, found.labels.shape[1] - 1)
        best = found.take(first)
        left &= ~((overlap(best.boxes, found.boxes) > iou) & (best.labels == found.labels))
        left.scatter_(1, first, False)
        taken.append(first)
    return found.take(torch.cat(taken, dim=1))


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of xyxy boxes (..., 4); both are broadcast. NaN where both have no area."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
