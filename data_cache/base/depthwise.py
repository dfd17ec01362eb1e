"""Strided depthwise convolutions, MobileNetV2's slowest layers in training on a CPU, calculated a faster way."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)


class StridedDepthwise(nn.Conv2d):
    """A strided depthwise convolution that trains fast on a CPU: calculated with stride 1, of which every s-th is kept.

    The sums are the same. The backward pass of the strided one is many times slower there than that of the dense one
    (torch 2.14, bfloat16), half of a training step of MobileNetV2. Elsewhere, and when not training, it is torch's own.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        """Take the place of `layer`, with its own weight; on "meta" nothing is drawn at random for it."""
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            (layer.kernel_size[0], layer.kernel_size[1]),
            (layer.stride[0], layer.stride[1]),
            layer.padding,  # type: ignore[arg-type]
            (layer.dilation[0], layer.dilation[1]),
            layer.groups,
            bias=False,
            device="meta",
        )
        self.weight = layer.weight

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to (B, C, H/s, W/s)."""
        if not self.training or images.device.type != "cpu":
            return super().forward(images)
        dense = functional.conv2d(images, self.weight, None, 1, self.padding, self.dilation, self.groups)
        down, across = self.stride
        return dense[:, :, ::down, ::across].contiguous(memory_format=torch.channels_last)


def with_fast_depthwise(network: Network) -> Network:
    """Return `network` with a `StridedDepthwise` for each of its strided depthwise layers that has no bias."""
    for block in network.modules():
        for name, layer in list(block.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride != (1, 1) and layer.bias is None:
                setattr(block, name, StridedDepthwise(layer))
    return network
