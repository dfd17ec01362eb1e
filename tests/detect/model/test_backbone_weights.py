"""Weights of torchvision's networks in the backbones of MMDetection: equal features, and errors if they do not fit."""

from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v2, resnet18, vgg16

from data_cache.base.errors import UserError
from detect.model.ssd import build_network, load_backbone
from detect.recipes import PRESETS


def test_mobilenet_computes_the_same_as_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = mobilenet_v2(weights=None).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    backbone = build_network(PRESETS["ssdlite320_mobilenetv2"]).eval().backbone
    assert load_backbone(str(tmp_path / "w.pth"), backbone, "ssdlite_mobilenetv2") == []
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5  # torchvision's
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(backbone(image)[-1], source.features(image), atol=1e-5)


def test_resnet_computes_the_same_as_torchvisions(tmp_path: Path) -> None:
    source = resnet18(weights=None).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    wide = PRESETS["ssd320_resnet18"].model_copy(update={"widen_factor": 1.0})
    backbone = build_network(wide).eval().backbone
    assert load_backbone(str(tmp_path / "w.pth"), backbone, "ssd_resnet18") == []
    image = torch.rand(1, 3, 64, 64)
    layers = (source.conv1, source.bn1, source.relu, source.maxpool, source.layer1, source.layer2)
    with torch.no_grad():
        assert torch.allclose(backbone(image)[0], torch.nn.Sequential(*layers)(image), atol=1e-5)


def test_vgg_fills_the_convolutions_that_ssd_keeps(tmp_path: Path) -> None:
    source = vgg16(weights=None).features
    torch.save({f"features.{name}": value for name, value in source.state_dict().items()}, tmp_path / "w.pth")
    backbone = build_network(PRESETS["ssd300_vgg16"]).backbone
    missing = load_backbone(str(tmp_path / "w.pth"), backbone, "ssd_vgg16")
    assert torch.equal(backbone.features[28].weight, source[28].weight)
    assert len(missing) == 4  # fc6 and fc7 as convolutions


def test_weights_of_another_width_are_rejected(tmp_path: Path) -> None:
    torch.save(mobilenet_v2(weights=None).state_dict(), tmp_path / "w.pth")
    narrow = PRESETS["ssdlite320_mobilenetv2"].model_copy(update={"widen_factor": 0.5})
    with pytest.raises(UserError, match="does not fit the backbone at"):
        load_backbone(str(tmp_path / "w.pth"), build_network(narrow).backbone, "ssdlite_mobilenetv2")
