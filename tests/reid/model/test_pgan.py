"""The whole network against the paper's Section 3 built literally, and the properties that it implies."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.naive.pgan import literal_mask, literal_output
from reid.model.backbones import Trunk
from reid.model.pgan import PGAN, PGANOutput, PooledTrunk
from reid.recipes import Attention

CHANNELS, FEATURES, VEHICLES, HEIGHT, WIDTH = 16, 16, 5, 3, 5  # of the grid: not square, so that no axis is swapped


def build(attention: Attention = "parts", seed: int = 0, temperature: float = 10.0) -> PGAN:
    """A network on a trunk of one convolution, in float64 and evaluation mode, with no parameter left at 0 or 1."""
    torch.manual_seed(seed)
    trunk = Trunk(nn.Sequential(nn.Conv2d(3, CHANNELS, 4, stride=4), nn.ReLU()), CHANNELS)
    network = PGAN(trunk, vehicles=VEHICLES, attention=attention, features=FEATURES, temperature=temperature)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith("running_var"):
            value.data.uniform_(0.5, 2)
        elif value.is_floating_point() and value.ndim == 1:
            value.data += 0.3 * torch.randn(value.shape)
    return network.double().eval()


def some_images(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 4 * HEIGHT, 4 * WIDTH, generator=torch.Generator().manual_seed(seed)).double()


def some_boxes(count: int, parts: int, seed: int = 2) -> Tensor:
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 1, (count, parts, 2, 2)), axis=2)
    return torch.from_numpy(corners.reshape(count, parts, 4).astype(np.float32))


PRESENT = torch.tensor([[True, True, True, True], [True, False, True, False], [False] * 4, [False, False, False, True]])


def maps_of(network: PGAN, *arguments: Tensor) -> tuple[PGANOutput, Tensor, Tensor]:
    """The output, and what the refine blocks of the global and the part branch were given: Fg and Fp."""
    given: dict[str, Tensor] = {}
    hooks = [
        getattr(network, name).register_forward_pre_hook(
            lambda _, inputs, name=name: given.update({name: inputs[0].clone()})
        )
        for name in ("refine_global", "refine_part")
    ]
    output = network(*arguments)
    for hook in hooks:
        hook.remove()
    return output, given["refine_global"], given["refine_part"]


def assert_same(found: PGANOutput, wanted: PGANOutput, **tolerance: float) -> None:
    for name in PGANOutput._fields:
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_the_maps_are_what_the_branches_are_given(attention: Attention) -> None:
    network, given = build(attention), (some_images(4), some_boxes(4, 4), PRESENT)
    output, trunk_map, part_map = maps_of(network, *given)
    for found, wanted in zip(network.maps(*given), (trunk_map, part_map, output.attention), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_baseline_has_no_part_map() -> None:
    network, images = build("none"), some_images(4)
    trunk_map, part_map, attention = network.maps(images, some_boxes(4, 4), PRESENT)
    torch.testing.assert_close(trunk_map, network.trunk(images))
    assert part_map is None and not attention.any()


@pytest.mark.parametrize("attention", ["parts", "equal", "grid", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_forward_is_section_3_of_the_paper(attention: Attention, seed: int) -> None:
    network, images, boxes = build(attention, seed), some_images(4, seed), some_boxes(4, 4, seed)
    with torch.no_grad():
        trunk_map = network.trunk(images).numpy()
        output = network(images, boxes, PRESENT)
    for image in range(4):
        there = PRESENT[image].numpy()
        wanted = literal_output(network, trunk_map[image], boxes[image].double().numpy(), there)
        for name, values in wanted.items():
            found = getattr(output, name)[image].numpy()
            if name == "attention" and attention != "grid":
                assert (found[~there] == 0).all()
                found = found[there]
            np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-6, err_msg=f"{name} of image {image}")


def test_part_map_and_its_gradient_are_those_of_eq_2_and_3() -> None:
    network, images, boxes = build(), some_images(2).requires_grad_(), some_boxes(2, 4)
    output, trunk_map, part_map = maps_of(network, images, boxes, PRESENT[:2])
    masks = torch.stack(
        [torch.stack([torch.from_numpy(literal_mask(b, HEIGHT, WIDTH)) for b in row]) for row in boxes.double().numpy()]
    )
    part_maps = masks[:, :, None] * trunk_map[:, None]  # F_i (B, D, C, h, w): what the network never builds
    literal = (output.attention.double()[:, :, None, None, None] * part_maps).sum(dim=1) + trunk_map
    torch.testing.assert_close(part_map, literal, rtol=1e-6, atol=1e-6)
    direction = torch.randn_like(part_map)
    gradients = [
        torch.autograd.grad((fp * direction).sum(), images, retain_graph=True)[0] for fp in (part_map, literal)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ["parts", "equal"])
@pytest.mark.parametrize("places", [0, 4])
def test_without_any_part_fp_is_fg_and_all_is_finite(attention: Attention, places: int) -> None:
    network = build(attention).float().train()
    images = some_images(4).float().requires_grad_()
    nowhere = torch.zeros(4, places, dtype=torch.bool)
    output, trunk_map, part_map = maps_of(network, images, torch.zeros(4, places, 4), nowhere)
    assert torch.equal(part_map, trunk_map)
    assert output.attention.shape == (4, places) and (output.attention == 0).all()
    sum(values.square().sum() for values in output).backward()
    gradients = [images.grad, *(parameter.grad for parameter in network.parameters())]
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert network.refine_part[1].shortcut.weight.grad is not None


def test_one_image_without_parts_in_a_batch_leaves_every_gradient_finite() -> None:
    network = build().float().train()
    output = network(some_images(4).float(), some_boxes(4, 4), PRESENT)
    sum(values.square().sum() for values in output).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert network.attention.squeeze.parametrizations.weight.original1.grad.abs().sum() > 0  # Re-ID guides the PAM


@pytest.mark.parametrize("attention", ["parts", "equal"])
def test_places_for_parts_that_are_absent_change_nothing(attention: Attention) -> None:
    network, images, boxes = build(attention), some_images(4), some_boxes(4, 4)
    more = torch.cat([boxes, torch.full((4, 3, 4), np.nan)], dim=1)
    present = torch.cat([PRESENT, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
    found = network(images, more, present)
    assert (found.attention[:, 4:] == 0).all()
    assert_same(found._replace(attention=found.attention[:, :4]), network(images, boxes, PRESENT), rtol=1e-6, atol=1e-7)


def test_the_order_of_the_parts_changes_the_order_of_their_weights_only() -> None:
    network, images, boxes, order = build(), some_images(4), some_boxes(4, 4), [2, 0, 3, 1]
    plain, permuted = network(images, boxes, PRESENT), network(images, boxes[:, order], PRESENT[:, order])
    assert_same(permuted, plain._replace(attention=plain.attention[:, order]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_a_batch_of_one_is_the_same_as_one_of_a_batch(attention: Attention) -> None:
    network, images, boxes = build(attention), some_images(4), some_boxes(4, 4)
    alone = [network(images[i : i + 1], boxes[i : i + 1], PRESENT[i : i + 1]) for i in range(4)]
    joined = PGANOutput(*(torch.cat(values) for values in zip(*alone, strict=True)))
    assert_same(network(images, boxes, PRESENT), joined, rtol=1e-6, atol=1e-7)


def test_a_hotter_softmax_is_sharper() -> None:
    arguments = some_images(4), some_boxes(4, 4), PRESENT
    mild, sharp = (build(temperature=temperature)(*arguments).attention[0].max() for temperature in (1.0, 30.0))
    assert mild < sharp


def test_the_grid_weighs_every_cell_and_looks_at_no_box() -> None:
    network, images = build("grid"), some_images(4)
    output = network(images, some_boxes(4, 4), PRESENT)
    assert output.attention.shape == (4, HEIGHT * WIDTH)
    np.testing.assert_allclose(output.attention.detach().sum(dim=1), np.ones(4), atol=1e-6)
    assert_same(output, network(images, torch.zeros(4, 0, 4), torch.zeros(4, 0, dtype=torch.bool)))


def test_the_baseline_has_one_branch_and_looks_at_no_box() -> None:
    network, images = build("none"), some_images(4)
    output = network(images, some_boxes(4, 4), PRESENT)
    assert output.global_ is None and output.part is None
    assert output.attention.shape == (4, 4) and (output.attention == 0).all()
    assert torch.equal(output.feature, network(images, 1 - some_boxes(4, 4), ~PRESENT).feature)
    assert not [
        name for name, _ in network.named_parameters() if name.startswith(("attention", "refine_g", "refine_p"))
    ]


def test_sizes_are_the_papers() -> None:
    output = build()(some_images(4), some_boxes(4, 4), PRESENT)
    assert output.logits.shape == (4, VEHICLES)
    assert output.fusion.shape == output.feature.shape == (4, FEATURES)  # 2C'
    assert output.global_ is not None and output.part is not None
    assert output.global_.shape == output.part.shape == (4, FEATURES // 2)  # C'


def test_the_neck_has_no_shift_and_the_classifier_no_bias() -> None:
    network = PGAN(build().trunk.float(), vehicles=VEHICLES, attention="parts", features=FEATURES)
    assert (network.neck.bias == 0).all() and not network.neck.bias.requires_grad and network.neck.weight.requires_grad
    assert network.classifier.bias is None


def test_autocast_keeps_weights_and_output_usable() -> None:
    network = build().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(some_images(4).float(), some_boxes(4, 4), PRESENT)
    exact = network(some_images(4).float(), some_boxes(4, 4), PRESENT)
    assert output.attention.dtype == torch.float32  # the softmax is never taken in bfloat16
    np.testing.assert_allclose(output.attention.detach().sum(dim=1), PRESENT.any(dim=1).float(), atol=1e-6)
    cosine = nn.functional.cosine_similarity(output.feature.float(), exact.feature)
    assert (cosine > 0.99).all()


def test_the_pooled_trunk_is_the_mean_of_its_map() -> None:
    trunk = build().trunk
    output = PooledTrunk(trunk)(some_images(4), some_boxes(4, 4), PRESENT)
    np.testing.assert_allclose(
        output.feature.detach(), trunk(some_images(4)).detach().numpy().mean(axis=(2, 3)), atol=1e-12
    )
    assert output.attention.shape == (4, 4) and output.global_ is None and output.part is None
