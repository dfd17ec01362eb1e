"""The detector: its parts are those of a naive computation from the network's output, however images are batched."""

import numpy as np
import pytest
import torch

from detect.model.detector import Detector
from detect.model.ssd import IMAGENET_MEAN, IMAGENET_STD, build_network
from helpers.naive.parts import naive_parts, unpack
from helpers.toy.annotations import TINY

SIDE = TINY.input_size


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A tiny detector with random weights."""
    torch.manual_seed(2)
    return Detector(build_network(TINY), TINY, "cpu")


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Eleven images of noise, as input of the network."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (11, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)


def image_sizes(count: int) -> np.ndarray:
    return np.array([(60 + 10 * row, 200 - 10 * row) for row in range(count)])


def test_parts_equal_a_naive_computation_from_the_networks_output(detector: Detector, pixels: torch.Tensor) -> None:
    sizes, head = image_sizes(4), detector.network.bbox_head
    logits, deltas = detector.forward(detector.normalise(pixels[:4]))
    flat = torch.cat([level.permute(0, 2, 3, 1).reshape(4, -1, 17) for level in logits], 1)
    probabilities = flat.float().softmax(-1)
    flat_deltas = torch.cat([level.permute(0, 2, 3, 1).reshape(4, -1, 4) for level in deltas], 1).float()
    anchors = torch.cat(head.prior_generator.grid_priors([level.shape[-2:] for level in logits], device="cpu"))
    for row, found in enumerate(unpack(detector.detect(pixels[:4], sizes))):
        scores, pairs = probabilities[row, :, :16].flatten().sort(descending=True)
        scores, pairs = scores[: TINY.candidates], pairs[: TINY.candidates]
        boxes = head.bbox_coder.decode(anchors[pairs // 16], flat_deltas[row][pairs // 16])
        boxes = boxes * torch.tensor(np.tile(sizes[row], 2)) / SIDE
        expected = naive_parts(boxes.numpy(), scores.numpy(), (pairs % 16).numpy(), tuple(sizes[row]), TINY)
        assert len(found.scores) == len(expected.scores) == TINY.top_k
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
        assert found.labels.tolist() == expected.labels.tolist()


def test_parts_do_not_depend_on_the_batch(detector: Detector, pixels: torch.Tensor) -> None:
    sizes = image_sizes(11)
    together = detector.detect(pixels, sizes)
    for row in (0, 5, 10):
        single = detector.detect(pixels[row : row + 1], sizes[row : row + 1])
        np.testing.assert_allclose(single.scores[0], together.scores[row], atol=0.01)
        np.testing.assert_allclose(single.boxes[0], together.boxes[row], atol=0.5)


def test_the_input_is_normalised_by_channel(detector: Detector, pixels: torch.Tensor) -> None:
    expected = (pixels[:2].numpy() - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    inputs = detector.normalise(pixels[:2])
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(inputs.permute(0, 2, 3, 1), expected, atol=1e-6)


def test_with_dtype_float32_nothing_is_computed_in_less(pixels: torch.Tensor) -> None:
    exact = Detector(build_network(TINY), TINY, "cpu", torch.float32)
    logits, deltas = exact.forward(exact.normalise(pixels[:2]))
    assert all(level.dtype == torch.float32 for level in (*logits, *deltas))
    assert all(parameter.dtype == torch.float32 for parameter in exact.network.parameters())
