"""Weights of other programs in the backbones of MMDetection: equal features, and errors if they do not fit."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, vgg16, vgg16_bn, vgg19

from data_cache.base.errors import UserError
from detect.model.ssd import build_network, load_backbone
from detect.model.weights import load_weights, read_recipe, write_weights
from detect.recipes import PRESETS, DetectorRecipe

WIDE_RESNET = PRESETS["ssd320_resnet18"].model_copy(update={"widen_factor": 1.0})
VGG = PRESETS["ssd300_vgg16"]


def backbone_of(recipe: DetectorRecipe) -> nn.Module:
    return build_network(recipe).get_submodule("backbone")


def refused(path: Path, content: object, recipe: DetectorRecipe) -> str:
    """Return the error for a file with this content, and check that the backbone keeps its weights."""
    torch.save(content, path)
    backbone = backbone_of(recipe)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_backbone(str(path), backbone, recipe.architecture)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    return str(caught.value)


def reordered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in another order, which says nothing about where they belong."""
    return dict(sorted(state.items(), reverse=True))


def test_mobilenet_computes_the_same_as_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = mobilenet_v2(weights=None).eval()
    torch.save(reordered(source.state_dict()), tmp_path / "w.pth")
    backbone = backbone_of(PRESETS["ssdlite320_mobilenetv2"])
    backbone.eval()  # MMDetection's return nothing
    assert load_backbone(str(tmp_path / "w.pth"), backbone, "ssdlite_mobilenetv2") == []
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5  # torchvision's
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(backbone(image)[-1], source.features(image), atol=1e-5)


def test_resnet_computes_the_same_as_torchvisions(tmp_path: Path) -> None:
    source = resnet18(weights=None).eval()
    torch.save(reordered(source.state_dict()), tmp_path / "w.pth")
    backbone = backbone_of(WIDE_RESNET)
    backbone.eval()
    assert load_backbone(str(tmp_path / "w.pth"), backbone, "ssd_resnet18") == []
    image = torch.rand(1, 3, 64, 64)
    layers = (source.conv1, source.bn1, source.relu, source.maxpool, source.layer1, source.layer2)
    with torch.no_grad():
        assert torch.allclose(backbone(image)[0], torch.nn.Sequential(*layers)(image), atol=1e-5)


def test_vgg_fills_the_convolutions_that_ssd_keeps(tmp_path: Path) -> None:
    source = vgg16(weights=None)
    torch.save(reordered(source.state_dict()), tmp_path / "w.pth")
    backbone = backbone_of(VGG)
    missing = load_backbone(str(tmp_path / "w.pth"), backbone, "ssd_vgg16")
    assert torch.equal(backbone.state_dict()["features.28.weight"], source.state_dict()["features.28.weight"])
    assert missing == [f"features.{number}.{leaf}" for number in (31, 33) for leaf in ("weight", "bias")]  # fc6, fc7


@pytest.mark.parametrize("preset", ["ssd300_vgg16", "ssdlite320_mobilenetv2", "ssd320_resnet18"])
def test_the_backbone_of_a_whole_detector_is_taken(
    preset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = PRESETS[preset]
    source, target = build_network(recipe), backbone_of(recipe)
    wrapped = {f"module.{name}": value for name, value in reordered(source.state_dict()).items()}
    torch.save({"meta": {"epoch": np.int64(3)}, "state_dict": wrapped}, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO, "data_cache"):
        assert load_backbone(str(tmp_path / "w.pth"), target, recipe.architecture) == []
    expected = source.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in target.state_dict().items())
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}/w.pth: took `state_dict`, prefix `module.backbone.` removed, ")
    rest = len(wrapped) - len(expected)
    assert line.endswith(f"{rest} other tensors not used (neck, bbox_head)")


def test_our_own_detector_is_a_backbone_and_a_foreign_one_is_no_detector(tmp_path: Path) -> None:
    recipe = PRESETS["ssd320_resnet18"]
    source, target = build_network(recipe), backbone_of(recipe)
    write_weights(tmp_path / "detector.safetensors", source, recipe)
    assert load_backbone(str(tmp_path / "detector.safetensors"), target, recipe.architecture) == []
    torch.save({"state_dict": source.state_dict()}, tmp_path / "mmdetection.pth")
    for read in (read_recipe, lambda path: load_weights(path, source)):
        with pytest.raises(UserError, match=r"mmdetection\.pth: .*PyTorch file; this program writes safetensors"):
            read(tmp_path / "mmdetection.pth")


@pytest.mark.parametrize(
    ("content", "recipe", "words"),
    [
        (mobilenet_v2().state_dict(), PRESETS["ssdlite320_mobilenetv2"], ""),
        (resnet18().state_dict(), PRESETS["ssd320_resnet18"], "of another shape, first conv1.weight (64, 3, 7, 7) for"),
        (resnet18().state_dict(), VGG, "missing, first features.0.weight"),
        (vgg16().state_dict(), WIDE_RESNET, "missing, first conv1.weight"),
        ({"features." + k: v for k, v in vgg19().features.state_dict().items()}, VGG, "missing, first features.17."),
        ({"features." + k: v for k, v in vgg16_bn().features.state_dict().items()}, VGG, "missing, first features.2."),
    ],
    ids=["width", "width of a resnet", "resnet", "vgg", "vgg19", "batch norm"],
)
def test_weights_of_another_network_are_refused(
    content: dict[str, Tensor], recipe: DetectorRecipe, words: str, tmp_path: Path
) -> None:
    if not words:
        recipe = recipe.model_copy(update={"widen_factor": 0.5})
        words = "of another shape, first conv1.conv.weight (32, 3, 3, 3) for (16, 3, 3, 3)"
    message = refused(tmp_path / "w.pth", content, recipe)
    assert message.startswith(f"{tmp_path}/w.pth: not the weights of ") and "; the file holds " in message
    assert words in message
