"""Flip at test time: the mean over image and mirror image, for every kind of attention."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from helpers.toy.vehicles import tiny_scale
from reid.data.augmentation import flip
from reid.model.checkpoint import build_network, untrained_networks
from reid.model.flip_test import mirrored
from reid.model.pgan import PGAN
from reid.recipes import PRESETS, Attention, ReidRecipe, recipe_for

PRESENT = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
RECIPE = ReidRecipe(trunk="resnet18", trunk_weights=None, features=32, parts=3, image_size=64)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with tiny_scale():
        yield


def network(attention: Attention, *, flip_test: bool = True) -> PGAN:
    built = build_network(RECIPE.model_copy(update={"attention": attention, "flip_test": flip_test}), 4).eval()
    with torch.no_grad():
        for module in built.modules():  # so that a feature depends on where something is
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
    return built


def batch(count: int = 3, height: int = 64, width: int = 96) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(count)
    images = torch.randn(count, 3, height, width, generator=random)
    boxes = torch.rand(count, 3, 2, 2, generator=random).sort(dim=2).values.flatten(2)
    return images, boxes, PRESENT[:count]


def test_mirrored_twice_is_the_batch_itself_and_once_is_the_flip_of_training() -> None:
    images, boxes, present = batch()
    crops = torch.randn(*present.shape, 3, 16, 16)
    again = mirrored(*mirrored(images, boxes, present, crops))
    assert torch.equal(again[0], images) and again[2] is present and torch.equal(again[3], crops)
    torch.testing.assert_close(again[1], boxes)
    pixels = (images[0].permute(1, 2, 0) * 40 + 120).clamp(0, 255).byte().numpy()
    own, own_boxes = flip(pixels, boxes[0].numpy())
    once = mirrored(torch.from_numpy(pixels).permute(2, 0, 1)[None], boxes[:1], present[:1])
    np.testing.assert_array_equal(once[0][0].permute(1, 2, 0).numpy(), own)
    np.testing.assert_array_equal(once[1][0].numpy(), own_boxes)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("attention", ["parts", "equal", "grid", "none"])
def test_feature_and_attention_are_means_computed_by_hand(attention: Attention, count: int) -> None:
    one, both = network(attention, flip_test=False), network(attention)
    both.load_state_dict(one.state_dict())
    images, boxes, present = batch(count)
    with torch.inference_mode():
        feature, weights = both.embed(images, boxes, present)
        for row in range(count):
            mirror = images[row].flip(2)[None]
            x0, y0, x1, y1 = boxes[row].unbind(dim=1)
            turned = torch.stack([1 - x1, y0, 1 - x0, y1], dim=1)[None]
            own, own_weights = one.embed(images[row][None], boxes[row][None], present[row][None])
            other, other_weights = one.embed(mirror, turned, present[row][None])
            if attention == "grid":  # 4 rows of 6 cells
                other_weights = torch.cat([other_weights[:, 6 * i : 6 * i + 6].flip(1) for i in range(4)], dim=1)
            expected = own[0] / own.norm() + other[0] / other.norm()
            torch.testing.assert_close(functional.normalize(feature[row], dim=0), expected / expected.norm())
            torch.testing.assert_close(weights[row], (own_weights + other_weights)[0] / 2)
            assert not torch.allclose(own, other, atol=1e-3)
    if attention in ("parts", "equal"):
        torch.testing.assert_close(weights.sum(dim=1), present.any(dim=1).float())
        assert not weights[~present].any()


@pytest.mark.parametrize("attention", ["parts", "grid", "none"])
def test_an_image_and_its_mirror_image_have_the_same_feature(attention: Attention) -> None:
    built, (images, boxes, present) = network(attention), batch()
    with torch.inference_mode():
        feature, _ = built.embed(images, boxes, present)
        other, _ = built.embed(*mirrored(images, boxes, present))
    torch.testing.assert_close(feature, other)


def test_the_backbone_alone_is_flipped_too() -> None:
    plain, both = (
        untrained_networks(RECIPE.model_copy(update={"flip_test": flip_test}), 4)["trunk"]
        for flip_test in (False, True)
    )
    images, boxes, present = batch()
    with torch.inference_mode():
        own, other = (plain.embed(pictures, boxes, present)[0] for pictures in (images, images.flip(3)))
        feature, attention = both.embed(images, boxes, present)
    torch.testing.assert_close(feature, (functional.normalize(own) + functional.normalize(other)) / 2)
    assert attention.shape == present.shape and not attention.any()


def test_recipes_without_it_are_as_before() -> None:
    assert all(
        "flip_test" not in preset.model_dump(mode="json") for name, preset in PRESETS.items() if "strong" not in name
    )
    for text in ("true", "yes"):
        assert recipe_for("veri", "pgan", [f"flip_test={text}"]).model_dump(mode="json")["flip_test"] is True
