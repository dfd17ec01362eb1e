"""The head of the detector as it is trained: MMDetection's SSD head with two changes to what an anchor learns."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import MODELS, TASK_UTILS
from torch import Tensor

LEAST_IOU = 0.2  # of an anchor that is assigned although it is below the recipe's `positive_iou`


@MODELS.register_module()
class PartHead(SSDHead):  # type: ignore[misc]
    """An SSD head that can learn from images on which only some of the parts are annotated.

    The parts that an image's annotations leave out may be visible in it, so they must not be learned as background
    there: for that image they and the background count as one class.
    """

    def loss_by_feat(
        self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor], gt: Any, metas: Sequence[Any], *more: Any
    ) -> dict[str, Any]:
        """Return MMDetection's losses of logits (B, A * 17, h, w) and box deltas (B, A * 4, h, w), one each a level."""
        left_out = torch.tensor([meta["left_out"] for meta in metas], device=cls_scores[0].device)
        if left_out.any():
            cls_scores = [merge_with_background(level, left_out) for level in cls_scores]
        losses: dict[str, Any] = super().loss_by_feat(cls_scores, bbox_preds, gt, metas, *more)
        return losses


def merge_with_background(logits: Tensor, left_out: Tensor) -> Tensor:
    """Return logits (B, A * (C + 1), h, w) whose last class, the background, also stands for the classes left out.

    `left_out` (B, C) bool marks them for each image; their own logits become so low that they have no probability.
    """
    classes = left_out.shape[1] + 1
    batch, channels, height, width = logits.shape
    by_class = logits.float().view(batch, channels // classes, classes, height, width)
    alone = torch.cat([left_out, left_out.new_ones(len(left_out), 1)], dim=1)[:, None, :, None, None]
    background = by_class.masked_fill(~alone, -math.inf).logsumexp(2, keepdim=True)
    parts = by_class[:, :, :-1].masked_fill(left_out[:, None, :, None, None], -1e4)  # not -inf: 0 * inf is no gradient
    return torch.cat([parts, background], dim=2).view(logits.shape)


@TASK_UTILS.register_module()
class SeveralAnchorsAssigner(MaxIoUAssigner):  # type: ignore[misc]
    """Assigns each part its `anchors_per_part` best anchors, in addition to those above the IoU threshold.

    The smallest parts lie between the anchors of the finest level and reach the threshold with none; SSD's rule gives
    them one anchor only, while large parts train dozens.
    """

    def __init__(self, anchors_per_part: int, **options: Any) -> None:
        super().__init__(**options)
        self.anchors_per_part = anchors_per_part

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Return the assignment for the IoU `overlaps` (M, A) of parts and anchors and the parts' labels (M,)."""
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        if overlaps.numel() == 0:
            return result
        best, anchors = overlaps.topk(min(self.anchors_per_part, overlaps.shape[1]), dim=1)
        claims = torch.zeros_like(overlaps).scatter(1, anchors, torch.where(best >= LEAST_IOU, best, 0.0))
        claim, part = claims.max(dim=0)
        free = (claim > 0) & (result.gt_inds <= 0)
        result.gt_inds = torch.where(free, part + 1, result.gt_inds)
        result.labels = torch.where(free, gt_labels[part], result.labels)
        return result
