"""StridedDepthwise gives the sums, gradients and weights of torch's layer, and both stages use it."""

import pytest
import torch
from torch import nn
from torchvision import models

from data_cache.base.depthwise import StridedDepthwise, with_fast_depthwise
from detect.model.ssd import build_network
from detect.recipes import PRESETS
from reid.model.backbones import build_backbone


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 17)])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(2, 1, 1), (2, 0, 1), (3, 2, 2)])
def test_outputs_and_gradients_equal_those_of_conv2d(
    height: int, width: int, stride: int, padding: int, dilation: int
) -> None:
    torch.manual_seed(3)
    plain = nn.Conv2d(6, 6, 3, stride, padding, dilation, groups=6, bias=False).double()
    images = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)
    wanted = plain(images)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, (images, plain.weight), upstream)
    layer = StridedDepthwise(plain)
    assert layer.weight is plain.weight
    output = layer.train()(images)
    torch.testing.assert_close(output, wanted)
    for found, gradient in zip(torch.autograd.grad(output, (images, plain.weight), upstream), gradients, strict=True):
        torch.testing.assert_close(found, gradient)
    torch.testing.assert_close(layer.eval()(images), wanted, rtol=0, atol=0)


def test_mobilenet_v2_has_three_such_layers_and_the_same_weights_for_a_seed() -> None:
    torch.manual_seed(5)
    backbone = build_backbone("mobilenet_v2", None)
    drawn = torch.rand(1)
    assert [layer.stride for layer in backbone.modules() if isinstance(layer, StridedDepthwise)] == [(2, 2)] * 3
    torch.manual_seed(5)
    plain = models.mobilenet_v2()
    assert torch.equal(drawn, torch.rand(1))
    state = plain.features.state_dict()
    assert backbone.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())


def test_the_mobilenet_detector_has_six_such_layers() -> None:
    """Four in the backbone, two in the extra levels."""
    network = build_network(PRESETS["ssdlite320_mobilenetv2"])
    strided = [name for name, layer in network.named_modules() if isinstance(layer, StridedDepthwise)]
    assert [name.split(".depthwise")[0] for name in strided] == [
        *(f"backbone.layer{layer}.0" for layer in (2, 3, 4, 6)),
        *(f"neck.extra_layers.{layer}.1" for layer in (0, 1)),
    ]


def test_layers_with_bias_dense_or_with_stride_1_are_kept() -> None:
    layers = [
        nn.Conv2d(4, 4, 3, 2, groups=4),
        nn.Conv2d(4, 4, 3, 2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
    ]
    assert list(with_fast_depthwise(nn.Sequential(*layers))) == layers
