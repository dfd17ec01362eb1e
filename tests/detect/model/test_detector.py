"""The detector: what it finds is what its network says, however the images are batched."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from detect.model.detector import Detector, fast_type, fold_batch_norm, resize
from detect.model.ssd import IMAGENET_MEAN, IMAGENET_STD, build_network
from detect.recipes import PRESETS
from helpers.naive.parts import assert_same, naive_parts
from helpers.toy.annotations import TINY

SIDE = TINY.input_size


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A tiny detector with random weights."""
    torch.manual_seed(2)
    return Detector(build_network(TINY), TINY, "cpu")


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Eleven images of noise as the network's input."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (11, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)


def sizes_of(count: int) -> np.ndarray:
    return np.array([(60 + 10 * row, 200 - 10 * row) for row in range(count)])


def test_what_is_found_is_what_the_network_says(detector: Detector, pixels: torch.Tensor) -> None:
    sizes, head = sizes_of(4), detector.network.bbox_head
    logits, offsets = detector.raw(detector.normalised(pixels[:4]))
    chances = torch.cat([level.permute(0, 2, 3, 1).reshape(4, -1, 17) for level in logits], 1).float().softmax(-1)
    moves = torch.cat([level.permute(0, 2, 3, 1).reshape(4, -1, 4) for level in offsets], 1).float()
    anchors = torch.cat(head.prior_generator.grid_priors([level.shape[-2:] for level in logits], device="cpu"))
    for row, found in enumerate(detector.detect(pixels[:4], sizes)):
        scores, places = chances[row, :, :16].flatten().sort(descending=True)
        scores, places = scores[: TINY.candidates], places[: TINY.candidates]
        boxes = head.bbox_coder.decode(anchors[places // 16], moves[row][places // 16])
        own = boxes * torch.tensor(np.tile(sizes[row], 2)) / SIDE
        wanted = naive_parts(own.numpy(), scores.numpy(), (places % 16).numpy(), tuple(sizes[row]), TINY)
        assert len(found) == len(wanted) == TINY.top_k
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-3)
        assert found.labels.tolist() == wanted.labels.tolist()


def test_an_image_alone_gives_what_it_gives_in_a_batch(detector: Detector, pixels: torch.Tensor) -> None:
    sizes = sizes_of(11)
    together = detector.detect(pixels, sizes)
    for row in (0, 5, 10):
        (alone,) = detector.detect(pixels[row : row + 1], sizes[row : row + 1])
        np.testing.assert_allclose(alone.scores, together[row].scores, atol=0.01)
        np.testing.assert_allclose(alone.boxes, together[row].boxes, atol=0.5)


def test_images_go_in_whole_too(detector: Detector) -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 80, 3), (120, 40, 3))]
    pixels = torch.stack([resize(image, SIDE) for image in images])
    for found, wanted in zip(detector(images), detector.detect(pixels, np.array([[80, 50], [40, 120]])), strict=True):
        assert_same(found, wanted)
    assert detector([]) == []


def test_the_input_is_normalised_channel_by_channel(detector: Detector, pixels: torch.Tensor) -> None:
    wanted = (pixels[:2].numpy() - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    inputs = detector.normalised(pixels[:2])
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(inputs.permute(0, 2, 3, 1), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenetv2", "demo"])
def test_folded_batch_norms_change_nothing_but_rounding_and_leave_the_network_alone(name: str) -> None:
    torch.manual_seed(1)
    network = build_network(PRESETS[name])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.train()
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network)
    assert network.training and not folded.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    inputs = torch.randn(1, 3, 96, 96)
    network.eval()
    with torch.no_grad():
        for one, other in zip(*(net.bbox_head(net.extract_feat(inputs)) for net in (network, folded)), strict=True):
            for plain, quick in zip(one, other, strict=True):
                torch.testing.assert_close(quick, plain, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(40, 60), (120, 90), (300, 500), (7, 3), (1, 1)])
def test_resizing_is_pillows_but_for_one_level(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.int16)
    resized = resize(image, SIDE)
    assert resized.shape == (SIDE, SIDE, 3) and resized.dtype == torch.uint8
    assert np.abs(resized.numpy() - wanted).max() <= 1


def test_a_cpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, wanted in (
        ({}, torch.float32),
        ({"avx2": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert fast_type("cpu") is wanted
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fast_type("cpu") is torch.float32


def test_a_gpu_computes_in_bfloat16_where_it_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_it, wanted in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has_it=has_it: has_it)
        assert fast_type("cuda") is wanted


def test_without_autocast_all_is_float32(
    detector: Detector, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "number_type", torch.float32)
    logits, _ = detector.raw(detector.normalised(pixels[:2]))
    assert all(level.dtype == torch.float32 for level in logits)
    assert [len(parts) for parts in detector.detect(pixels[:2], sizes_of(2))] == [TINY.top_k] * 2
