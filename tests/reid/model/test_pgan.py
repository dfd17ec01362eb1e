"""The network against the paper's Section 3 built literally, and the properties that follow from it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.naive.pgan import literal_mask, literal_output
from reid.model.backbones import Backbone
from reid.model.pgan import PGAN, PGANOutput
from reid.recipes import Attention

CHANNELS, FEATURES, VEHICLES = 16, 16, 5
HEIGHT, WIDTH = 3, 5  # of the feature map; not square, so that swapped axes are found
PRESENT = torch.tensor([[True, True, True, True], [True, False, True, False], [False] * 4, [False, False, False, True]])


def build(attention: Attention = "parts", seed: int = 0) -> PGAN:
    """A network on one convolution, in float64 and evaluation mode, with all parameters random."""
    torch.manual_seed(seed)
    backbone = Backbone(nn.Sequential(nn.Conv2d(3, CHANNELS, 4, stride=4), nn.ReLU()), CHANNELS)
    network = PGAN(backbone, vehicles=VEHICLES, attention=attention, features=FEATURES)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith("running_var"):
            value.data.uniform_(0.5, 2)
        elif value.is_floating_point() and value.ndim == 1:
            value.data += 0.3 * torch.randn(value.shape)
    return network.double().eval()


def random_images(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 4 * HEIGHT, 4 * WIDTH, generator=torch.Generator().manual_seed(seed)).double()


def random_boxes(count: int, parts: int, seed: int = 2) -> Tensor:
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 1, (count, parts, 2, 2)), axis=2)
    return torch.from_numpy(corners.reshape(count, parts, 4).astype(np.float32))


def assert_same(found: PGANOutput, expected: PGANOutput, **tolerance: float) -> None:
    for name in PGANOutput._fields:
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), **(tolerance or {"rtol": 0, "atol": 0})
        )


@pytest.mark.parametrize("attention", ["parts", "equal", "grid", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_forward_is_section_3_of_the_paper(attention: Attention, seed: int) -> None:
    network, images, boxes = build(attention, seed), random_images(4, seed), random_boxes(4, 4, seed)
    with torch.no_grad():
        global_maps = network.trunk(images).numpy()
        output = network(images, boxes, PRESENT)
        embedded = network.embed(images, boxes, PRESENT)
    assert torch.equal(embedded[0], output.feature) and torch.equal(embedded[1], output.attention)
    for image in range(4):
        present = PRESENT[image].numpy()
        expected = literal_output(network, global_maps[image], boxes[image].double().numpy(), present)
        for name, values in expected.items():
            found = getattr(output, name)[image].numpy()
            if name == "attention" and attention != "grid":
                assert (found[~present] == 0).all()
                found = found[present]
            np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-6, err_msg=f"{name} of image {image}")


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_maps_are_the_inputs_of_the_refine_blocks(attention: Attention) -> None:
    network, inputs = build(attention), (random_images(4), random_boxes(4, 4), PRESENT)
    global_map, part_map, weights = network.maps(*inputs)
    output = network(*inputs)
    assert part_map is not None
    assert torch.equal(network.refine_global(global_map.clone()), output.global_)
    assert torch.equal(network.refine_part(part_map.clone()), output.part)
    assert torch.equal(weights, output.attention)


def test_part_map_and_its_gradient_are_those_of_eq_2_and_3() -> None:
    network, images, boxes = build(), random_images(2).requires_grad_(), random_boxes(2, 4)
    global_map, part_map, weights = network.maps(images, boxes, PRESENT[:2])
    assert part_map is not None
    masks = torch.stack(
        [torch.stack([torch.from_numpy(literal_mask(b, HEIGHT, WIDTH)) for b in row]) for row in boxes.double().numpy()]
    )
    part_maps = masks[:, :, None] * global_map[:, None]  # F_i (B, D, C, h, w)
    literal = (weights.double()[:, :, None, None, None] * part_maps).sum(dim=1) + global_map
    torch.testing.assert_close(part_map, literal, rtol=1e-6, atol=1e-6)
    direction = torch.randn_like(part_map)
    gradients = [
        torch.autograd.grad((fp * direction).sum(), images, retain_graph=True)[0] for fp in (part_map, literal)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ["parts", "equal"])
@pytest.mark.parametrize("slots", [0, 4])
def test_without_parts_fp_is_fg_and_all_gradients_are_finite(attention: Attention, slots: int) -> None:
    network = build(attention).float().train()
    images = random_images(4).float().requires_grad_()
    inputs = images, torch.zeros(4, slots, 4), torch.zeros(4, slots, dtype=torch.bool)
    global_map, part_map, weights = network.maps(*inputs)
    assert part_map is not None and torch.equal(part_map, global_map)
    assert weights.shape == (4, slots) and not weights.any()
    sum(values.square().sum() for values in network(*inputs)).backward()
    gradients = [images.grad, *(parameter.grad for parameter in network.parameters())]
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert network.refine_part[1].shortcut.weight.grad is not None


def test_one_image_without_parts_in_a_batch_leaves_every_gradient_finite() -> None:
    network = build().float().train()
    output = network(random_images(4).float(), random_boxes(4, 4), PRESENT)
    sum(values.square().sum() for values in output).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert network.attention.squeeze.parametrizations.weight.original1.grad.abs().sum() > 0


@pytest.mark.parametrize("attention", ["parts", "equal"])
def test_absent_parts_change_nothing(attention: Attention) -> None:
    network, images, boxes = build(attention), random_images(4), random_boxes(4, 4)
    more = torch.cat([boxes, torch.full((4, 3, 4), np.nan)], dim=1)
    present = torch.cat([PRESENT, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
    found = network(images, more, present)
    assert (found.attention[:, 4:] == 0).all()
    assert_same(found._replace(attention=found.attention[:, :4]), network(images, boxes, PRESENT), rtol=1e-6, atol=1e-7)


def test_permuted_parts_only_permute_the_weights() -> None:
    network, images, boxes, order = build(), random_images(4), random_boxes(4, 4), [2, 0, 3, 1]
    plain, permuted = network(images, boxes, PRESENT), network(images, boxes[:, order], PRESENT[:, order])
    assert_same(permuted, plain._replace(attention=plain.attention[:, order]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_images_of_a_batch_do_not_influence_each_other(attention: Attention) -> None:
    network, images, boxes = build(attention), random_images(4), random_boxes(4, 4)
    single = [network(images[i : i + 1], boxes[i : i + 1], PRESENT[i : i + 1]) for i in range(4)]
    joined = PGANOutput(*(torch.cat(values) for values in zip(*single, strict=True)))
    assert_same(network(images, boxes, PRESENT), joined, rtol=1e-6, atol=1e-7)


def test_grid_attention_weighs_every_cell_and_ignores_the_boxes() -> None:
    network, images = build("grid"), random_images(4)
    output = network(images, random_boxes(4, 4), PRESENT)
    assert output.attention.shape == (4, HEIGHT * WIDTH)
    np.testing.assert_allclose(output.attention.detach().sum(dim=1), np.ones(4), atol=1e-6)
    assert_same(output, network(images, torch.zeros(4, 0, 4), torch.zeros(4, 0, dtype=torch.bool)))


def test_the_baseline_has_one_branch_and_ignores_the_boxes() -> None:
    network, images = build("none"), random_images(4)
    output = network(images, random_boxes(4, 4), PRESENT)
    assert (
        output.global_ is None and output.part is None and network.maps(images, random_boxes(4, 4), PRESENT)[1] is None
    )
    assert output.attention.shape == (4, 4) and not output.attention.any()
    assert torch.equal(output.feature, network(images, 1 - random_boxes(4, 4), ~PRESENT).feature)
    assert not [
        name for name, _ in network.named_parameters() if name.startswith(("attention", "refine_g", "refine_p"))
    ]


def test_the_neck_has_no_shift_and_the_classifier_no_bias() -> None:
    network = PGAN(build().trunk.float(), vehicles=VEHICLES, attention="parts", features=FEATURES)
    assert (network.neck.bias == 0).all() and not network.neck.bias.requires_grad and network.neck.weight.requires_grad
    assert network.classifier.bias is None


def test_autocast_keeps_the_softmax_in_float32_and_the_features_close() -> None:
    network = build().float()
    inputs = random_images(4).float(), random_boxes(4, 4), PRESENT
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(*inputs)
    assert output.attention.dtype == torch.float32
    np.testing.assert_allclose(output.attention.detach().sum(dim=1), PRESENT.any(dim=1).float(), atol=1e-6)
    cosine = nn.functional.cosine_similarity(output.feature.float(), network(*inputs).feature)
    assert (cosine > 0.99).all()
