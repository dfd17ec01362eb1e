from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v2, resnet18, vgg16

from data_cache.base.errors import UserError
from detect.model.ssd import build_network, load_trunk
from detect.recipes import PRESETS


def test_torchvisions_mobilenet_becomes_the_trunk_and_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = mobilenet_v2(weights=None).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    trunk = build_network(PRESETS["ssdlite320_mobilenetv2"]).eval().backbone
    assert load_trunk(str(tmp_path / "w.pth"), trunk, "ssdlite_mobilenetv2") == []
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5  # torchvision's
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(trunk(image)[-1], source.features(image), atol=1e-5)


def test_torchvisions_resnet_becomes_the_trunk_and_computes_the_same(tmp_path: Path) -> None:
    source = resnet18(weights=None).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    wide = PRESETS["demo"].model_copy(update={"widen_factor": 1.0})
    trunk = build_network(wide).eval().backbone
    assert load_trunk(str(tmp_path / "w.pth"), trunk, "ssd_resnet18") == []
    image = torch.rand(1, 3, 64, 64)
    layers = (source.conv1, source.bn1, source.relu, source.maxpool, source.layer1, source.layer2)
    with torch.no_grad():
        assert torch.allclose(trunk(image)[0], torch.nn.Sequential(*layers)(image), atol=1e-5)


def test_torchvisions_vgg_fills_the_convolutions_that_ssd_keeps(tmp_path: Path) -> None:
    source = vgg16(weights=None)
    torch.save({name: value for name, value in source.state_dict().items() if "features" in name}, tmp_path / "w.pth")
    trunk = build_network(PRESETS["ssd300_vgg16"]).backbone
    missing = load_trunk(str(tmp_path / "w.pth"), trunk, "ssd_vgg16")
    assert torch.equal(trunk.features[28].weight, source.features[28].weight)
    assert len(missing) == 4  # fc6 and fc7 turned convolutions


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    torch.save(mobilenet_v2(weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="does not fit the trunk at"):
        narrow = PRESETS["ssdlite320_mobilenetv2"].model_copy(update={"widen_factor": 0.5})
        load_trunk(str(tmp_path / "w.pth"), build_network(narrow).backbone, "ssdlite_mobilenetv2")
