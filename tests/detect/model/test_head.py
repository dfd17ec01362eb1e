"""What the anchors of an image learn: parts that its annotations leave out, and parts between the anchors."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from data_cache.parts.names import PART_NAMES
from detect.evaluation.metrics import box_iou
from detect.model.mmcv_ops import supply_operators
from detect.model.ssd import build_network
from helpers.toy.annotations import TINY

supply_operators()
CLASSES = len(PART_NAMES) + 1
WHEEL, LOGO = PART_NAMES.index("wheel"), PART_NAMES.index("logo")


def random_logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 3 * CLASSES, 4, 5, generator=torch.Generator().manual_seed(seed))


def test_parts_left_out_count_as_background() -> None:
    from detect.model.head import merge_with_background

    left_out = torch.zeros(2, len(PART_NAMES), dtype=torch.bool)
    left_out[1, [WHEEL, LOGO]] = True
    logits = random_logits()
    merged = merge_with_background(logits, left_out)
    before, after = (each.unflatten(1, (3, CLASSES)).softmax(2) for each in (logits, merged))
    assert torch.equal(merged[0], logits[0])
    assert after[1, :, [WHEEL, LOGO]].max() == 0
    expected = before[1, :, -1] + before[1, :, WHEEL] + before[1, :, LOGO]
    assert torch.allclose(after[1, :, -1], expected, atol=1e-6)
    others = [label for label in range(len(PART_NAMES)) if label not in (WHEEL, LOGO)]
    assert torch.allclose(after[1, :, others], before[1, :, others], atol=1e-6)


def test_gradient_of_the_merged_background_is_that_of_the_summed_probability() -> None:
    from detect.model.head import merge_with_background

    left_out = torch.zeros(1, len(PART_NAMES), dtype=torch.bool)
    left_out[0, WHEEL] = True
    logits = torch.randn(1, CLASSES, 1, 1, generator=torch.Generator().manual_seed(1), requires_grad=True)
    merged = merge_with_background(logits, left_out)[:, :, 0, 0]
    (gradient,) = torch.autograd.grad(functional.cross_entropy(merged, torch.tensor([CLASSES - 1])), logits)
    probability = logits[0, :, 0, 0].softmax(0)
    (expected,) = torch.autograd.grad(-(probability[-1] + probability[WHEEL]).log(), logits)
    assert torch.allclose(gradient, expected, atol=1e-6)


def head_losses(labels_of_image: list[int], left_out: list[bool]) -> dict[str, Any]:
    """Return the losses of an untrained head on one image with parts of these labels."""
    from mmengine.structures import InstanceData

    torch.manual_seed(5)
    network = build_network(TINY)
    features = network.extract_feat(torch.randn(1, 3, 96, 96))
    boxes = torch.tensor([[10.0 * i, 8.0, 10.0 * i + 22, 34.0] for i in range(len(labels_of_image))])
    truth = InstanceData(bboxes=boxes, labels=torch.tensor(labels_of_image))
    meta = {"img_shape": (96, 96), "pad_shape": (96, 96), "left_out": left_out}
    losses: dict[str, Any] = network.bbox_head.loss_by_feat(*network.bbox_head(features), [truth], [meta])
    return losses


def test_parts_left_out_lower_the_loss_of_the_background_only() -> None:
    nothing = [False] * len(PART_NAMES)
    all_annotated = head_losses([WHEEL, LOGO], nothing)
    partly = head_losses([WHEEL, LOGO], [label not in (WHEEL, LOGO) for label in range(len(PART_NAMES))])
    assert sum(partly["loss_cls"]) < sum(all_annotated["loss_cls"])
    assert torch.equal(sum(partly["loss_bbox"]), sum(all_annotated["loss_bbox"]))


def assignment(parts: torch.Tensor, anchors: torch.Tensor, per_part: int) -> list[int]:
    """Return for each anchor the 1-based part that it is assigned to, or 0."""
    from mmengine.structures import InstanceData

    from detect.model.head import SeveralAnchorsAssigner

    assigner = SeveralAnchorsAssigner(
        anchors_per_part=per_part, pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.0, gt_max_assign_all=False
    )
    truth = InstanceData(bboxes=parts, labels=torch.arange(len(parts)))
    result = assigner.assign(InstanceData(priors=anchors), truth)
    assert result.labels.tolist() == [index - 1 for index in result.gt_inds.tolist()]
    return list(result.gt_inds.tolist())


@pytest.mark.parametrize("per_part", [1, 2, 4])
def test_a_part_gets_its_best_anchors_and_those_above_the_threshold(per_part: int) -> None:
    from detect.model.head import LEAST_IOU

    generator = torch.Generator().manual_seed(per_part)
    corners = torch.rand(60, 2, generator=generator) * 80
    anchors = torch.cat([corners, corners + 6 + 14 * torch.rand(60, 2, generator=generator)], dim=1)
    parts = torch.tensor([[10.0, 10, 18, 19], [60, 60, 78, 80]])  # far from each other: no anchor is near both
    overlaps = box_iou(parts.numpy(), anchors.numpy()).tolist()
    expected = [0] * 60
    for number, row in enumerate(overlaps, start=1):
        best = sorted(range(60), key=lambda index: -row[index])[:per_part]
        for index, overlap in enumerate(row):
            if overlap >= 0.5 or index == best[0] or (index in best and overlap >= LEAST_IOU):
                expected[index] = number
    assert assignment(parts, anchors, per_part) == expected
    assert math.prod(map(expected.count, (1, 2))) > 0


def test_an_image_without_parts_assigns_no_anchor() -> None:
    assert assignment(torch.zeros(0, 4), torch.tensor([[0.0, 0, 9, 9]]), 4) == [0]
