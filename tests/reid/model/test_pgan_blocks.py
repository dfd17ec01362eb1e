"""The building blocks of the network against their literal forms: masks, MGAP, PAM, SE and residual block."""

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.naive.pgan import literal_average, literal_bottleneck, literal_mask, literal_psi, literal_se, numbers
from reid.model.pgan import (
    PartAttention,
    ResidualBottleneck,
    SqueezeExcitation,
    equal_weights,
    masked_average,
    masked_softmax,
    part_masks,
)

CHANNELS, FEATURES = 16, 16
HEIGHT, WIDTH = 3, 5  # of the feature map; not square, so that swapped axes are found
PRESENT = torch.tensor([[True, True, True, True], [True, False, True, False], [False] * 4, [False, False, False, True]])


def random_boxes(count: int, parts: int, seed: int = 2) -> Tensor:
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 1, (count, parts, 2, 2)), axis=2)
    return torch.from_numpy(corners.reshape(count, parts, 4).astype(np.float32))


@pytest.mark.parametrize(("height", "width"), [(14, 14), (3, 5), (1, 1), (7, 2)])
def test_masks_are_those_of_eq_1_pixel_by_pixel(height: int, width: int) -> None:
    random = np.random.default_rng(3)
    boxes = random.uniform(-0.2, 1.2, (6, 40, 4)).astype(np.float32)  # some outside, some with swapped corners
    boxes[3:] = np.sort(boxes[3:].reshape(3, 40, 2, 2), axis=2).reshape(3, 40, 4)
    near_border = random.integers(0, 15, (6, 10, 4)) + random.uniform(-5e-5, 5e-5, (6, 10, 4))
    near_border = near_border / np.array([width, height, width, height])  # of cells
    boxes = np.concatenate([boxes, near_border.astype(np.float32)], axis=1)
    present = random.random((6, 50)) < 0.8
    masks = part_masks(torch.from_numpy(boxes), torch.from_numpy(present), height, width)
    assert masks.dtype == torch.float32
    for image in range(6):
        for part in range(50):
            expected = literal_mask(boxes[image, part].astype(np.float64), height, width) * present[image, part]
            np.testing.assert_array_equal(masks[image, part], expected, err_msg=str(boxes[image, part]))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0, 0, 1, 1), range(14), range(14)),  # everything
        (
            (2 / 14, 3 / 14, 5 / 14, 4 / 14),
            range(3, 4),
            range(2, 5),
        ),  # on borders of cells: the next cells are not touched
        ((2.0001 / 14, 0, 4.9 / 14, 1), range(14), range(2, 5)),  # partly covered cells are touched
        ((2.5 / 14, 2.5 / 14, 2.5 / 14, 2.5 / 14), range(2, 3), range(2, 3)),  # no area
        ((1, 1, 1, 1), range(13, 14), range(13, 14)),  # no area, in the last cell
        ((0, 0, 0, 0), range(1), range(1)),
        ((1.5, -2, 3, -1), range(1), range(13, 14)),  # outside: the nearest cell
        ((-5, -5, 6, 6), range(14), range(14)),
    ],
)
def test_worked_masks(box: tuple[float, ...], rows: range, columns: range) -> None:
    mask = part_masks(torch.tensor([[box]]), torch.ones(1, 1, dtype=torch.bool), 14, 14)[0, 0]
    found = {(int(row), int(column)) for row, column in mask.nonzero()}
    assert found == {(row, column) for row in rows for column in columns}


def test_an_absent_part_has_no_mask() -> None:
    boxes = torch.tensor([[[0, 0, 1, 1], [np.nan] * 4, [np.inf] * 4]])
    assert part_masks(boxes, torch.zeros(1, 3, dtype=torch.bool), 4, 4).sum() == 0


def test_masked_average_is_the_mean_over_the_mask_and_0_for_an_empty_mask() -> None:
    feature_map, boxes = torch.randn(4, CHANNELS, HEIGHT, WIDTH).double(), random_boxes(4, 4)
    pooled = masked_average(feature_map, part_masks(boxes, PRESENT, HEIGHT, WIDTH))
    for image in range(4):
        for part in range(4):
            expected = np.zeros(CHANNELS)
            if PRESENT[image, part]:
                mask = literal_mask(boxes[image, part].double().numpy(), HEIGHT, WIDTH)
                expected = literal_average(mask * feature_map[image].numpy(), mask)
            np.testing.assert_allclose(pooled[image, part], expected, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_part_attention_is_eq_4_over_the_parts_present(temperature: float) -> None:
    torch.manual_seed(4)
    module = PartAttention(CHANNELS, temperature=temperature).double()
    for value in module.parameters():
        value.data += 0.2 * torch.randn(value.shape)
    pooled = torch.randn(4, 4, CHANNELS).double()
    weights = module(pooled, PRESENT)
    for image in range(4):
        present = PRESENT[image].numpy()
        psi = np.array([literal_psi(vector, numbers(module), "") for vector in pooled[image].numpy()[present]])
        exponentials = np.exp(temperature * psi)
        np.testing.assert_allclose(weights[image].detach()[present], exponentials / exponentials.sum(), atol=1e-6)
        assert (weights[image].detach().numpy()[~present] == 0).all()


def test_weights_sum_to_1_over_the_parts_present_and_are_0_elsewhere() -> None:
    logits = torch.tensor([[1e4, -1e4, 0, 3.0], [5, 1e30, -2, 1e30], [1, 2, 3, 4], [9, 9, 9, -1e30]])
    for weights in (masked_softmax(logits, PRESENT), equal_weights(PRESENT)):
        assert ((weights >= 0) & (weights <= 1)).all() and (weights[~PRESENT] == 0).all()
        np.testing.assert_allclose(weights.sum(dim=1), PRESENT.any(dim=1).float(), atol=1e-6)
    np.testing.assert_allclose(equal_weights(PRESENT)[1], [0.5, 0, 0.5, 0])
    np.testing.assert_allclose(masked_softmax(logits, PRESENT)[0], [1, 0, 0, 0])


def test_se_and_residual_block_are_their_literal_forms() -> None:
    torch.manual_seed(5)
    x = torch.randn(2, CHANNELS, HEIGHT, WIDTH).double()
    for block, literal in (
        (SqueezeExcitation(CHANNELS), literal_se),
        (ResidualBottleneck(CHANNELS, FEATURES), literal_bottleneck),
    ):
        block.double().eval()
        for name, value in block.named_buffers():
            if value.is_floating_point():
                value.uniform_(0.2, 2) if name.endswith("var") else value.normal_()
        expected = np.stack([literal(image, numbers(block), "") for image in x.numpy()])
        np.testing.assert_allclose(block(x.clone()).detach(), expected, atol=1e-10)
