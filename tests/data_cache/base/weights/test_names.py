"""Public names of the backbones, compared with modules built as those programs build them, paired by their order."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, vgg16
from torchvision.models.detection import ssd300_vgg16

from data_cache.base.weights.fitting import find_network
from data_cache.base.weights.names import ORIGINS, spellings
from data_cache.base.weights.reading import StateDict

BLOCKS = [  # of MobileNetV2: expansion, output channels, number (Sandler et al., Table 2)
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
]


def modules(**children: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(children))


def convolution(inputs: int, outputs: int, size: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, groups=groups, bias=False)


def layers(expansion: int, inputs: int, outputs: int) -> list[tuple[nn.Module, nn.Module]]:
    """Return the convolutions and norms of an inverted residual block."""
    hidden = expansion * inputs
    expand = [(convolution(inputs, hidden, 1), nn.BatchNorm2d(hidden))] if expansion > 1 else []
    depthwise = (convolution(hidden, hidden, 3, hidden), nn.BatchNorm2d(hidden))
    return [*expand, depthwise, (convolution(hidden, outputs, 1), nn.BatchNorm2d(outputs))]


def flat_block(pairs: list[tuple[nn.Module, nn.Module]]) -> nn.Module:
    """As tonylins/pytorch-mobilenet-v2 and pytorch-ssd: one Sequential, ReLU6 after all but the last norm."""
    return modules(conv=nn.Sequential(*[one for pair in pairs for one in (*pair, nn.ReLU6())][:-1]))


def mmpretrain_block(pairs: list[tuple[nn.Module, nn.Module]]) -> nn.Module:
    return modules(conv=nn.Sequential(*[modules(conv=conv, bn=norm) for conv, norm in pairs]))


def mmdetection_block(pairs: list[tuple[nn.Module, nn.Module]]) -> nn.Module:
    names = ["expand_conv", "depthwise_conv", "linear_conv"][-len(pairs) :]
    return modules(**{name: modules(conv=conv, bn=norm) for name, (conv, norm) in zip(names, pairs, strict=True)})


def timm_block(pairs: list[tuple[nn.Module, nn.Module]]) -> nn.Module:
    names = ["conv_pw", "conv_dw", "conv_pwl"] if len(pairs) == 3 else ["conv_dw", "conv_pw"]
    children: dict[str, nn.Module] = {}
    for number, (name, (conv, norm)) in enumerate(zip(names, pairs, strict=True), start=1):
        children |= {name: conv, f"bn{number}": norm}
    return modules(**children)


def mobilenet(origin: str) -> nn.Module:
    """Return MobileNetV2 without its classifier, as another program names its parts."""
    build = {"MMDetection": mmdetection_block, "MMPretrain": mmpretrain_block, "timm": timm_block}.get(
        origin, flat_block
    )
    stages: list[list[nn.Module]] = []
    inputs = 32
    for expansion, outputs, count in BLOCKS:
        stages.append([])
        for _ in range(count):
            stages[-1].append(build(layers(expansion, inputs, outputs)))
            inputs = outputs
    stem, stem_norm = convolution(3, 32, 3), nn.BatchNorm2d(32)
    last, last_norm = convolution(320, 1280, 1), nn.BatchNorm2d(1280)
    if origin == "timm":
        blocks = nn.Sequential(*[nn.Sequential(*stage) for stage in stages])
        return modules(conv_stem=stem, bn1=stem_norm, blocks=blocks, conv_head=last, bn2=last_norm)
    if origin in ("MMDetection", "MMPretrain"):
        named = {f"layer{number}": nn.Sequential(*stage) for number, stage in enumerate(stages, start=1)}
        return modules(conv1=modules(conv=stem, bn=stem_norm), **named, conv2=modules(conv=last, bn=last_norm))
    flat = [one for stage in stages for one in stage]
    features = nn.Sequential(nn.Sequential(stem, stem_norm), *flat, nn.Sequential(last, last_norm))
    return modules(features=features) if origin == "pytorch-mobilenet-v2" else features


def found_as(network: str, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], origin: str) -> None:
    """Check that each of their tensors becomes the one of ours that has the same place in the order."""
    assert len(own) == len(theirs)
    expected = {name: value for name, value in zip(own, theirs.values(), strict=True)}
    for prefix in ("", "module.backbone."):
        state = StateDict((), {prefix + name: value for name, value in theirs.items()})
        result = find_network("w", [state], spellings(network, {name: name for name in own}), own, network=network)
        assert {name: id(value) for name, value in result.tensors.items()} == {n: id(v) for n, v in expected.items()}
        assert result.line == ", ".join(
            [f"prefix `{prefix}` removed"] * bool(prefix) + [f"names as in {origin}"] * bool(origin)
        )


@pytest.mark.parametrize("origin", [name for name in ORIGINS["mobilenet_v2"] if not name.startswith("torchvision")])
def test_names_of_mobilenet(origin: str) -> None:
    own = mobilenet_v2().features.state_dict(prefix="features.")
    theirs = mobilenet(origin).state_dict() if origin else mobilenet_v2().features.state_dict(prefix="features.")
    found_as("mobilenet_v2", own, theirs, origin)


def test_names_of_mobilenets_features_alone() -> None:
    own = mobilenet_v2().features.state_dict(prefix="features.")
    found_as("mobilenet_v2", own, mobilenet_v2().features.state_dict(), "torchvision's features")


def test_names_of_a_resnet_as_a_sequential() -> None:
    network = resnet18()
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    theirs = nn.Sequential(*[*network.children()][:-2]).state_dict()
    found_as("resnet18", own, theirs, "a Sequential of ResNet's children")


def vgg_of_ssd() -> dict[str, Any]:
    """Return VGG-16 with fc6 and fc7 as convolutions, under the names of MMDetection."""
    more = {f"features.{number}.{leaf}": torch.zeros(1) for number in (31, 33) for leaf in ("weight", "bias")}
    shapes = {"features.31.weight": (1024, 512, 3, 3), "features.33.weight": (1024, 1024, 1, 1)}
    plain: dict[str, Any] = vgg16().features.state_dict(prefix="features.")
    return plain | {name: torch.randn(shapes.get(name, (1024,))) for name in more}


CAFFE = (
    "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 conv5_1 conv5_2 conv5_3 fc6 fc7"
).split()


@pytest.mark.parametrize("origin", ["", "ssd.pytorch", "Caffe"])
def test_names_of_vgg(origin: str) -> None:
    own = vgg_of_ssd()
    leaves = [(layer, leaf) for layer in CAFFE for leaf in ("weight", "bias")]
    names: dict[str, list[str]] = {
        "": [*own],
        "ssd.pytorch": [name.removeprefix("features.") for name in own],
        "Caffe": [f"{layer}.{leaf}" for layer, leaf in leaves],
    }
    theirs = dict(zip(names[origin], vgg_of_ssd().values(), strict=True))
    found_as("vgg16", own, theirs, origin)


def test_names_of_torchvisions_ssd() -> None:
    own = vgg_of_ssd()
    whole: dict[str, Any] = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=3).state_dict()
    result = find_network(
        "w", [StateDict((), whole)], spellings("vgg16", {name: name for name in own}), own, network="vgg16"
    )
    inside = [value for name, value in whole.items() if name.startswith(("backbone.features.", "backbone.extra.0."))]
    assert [id(result.tensors[name]) for name in own] == [id(value) for value in inside]
    assert result.line.startswith("prefix `backbone.` removed, names as in torchvision's SSD, ")
