"""A faster backward pass on CPUs for strided depthwise convolutions, MobileNetV2's slowest layers in training."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)


class StridedDepthwise(nn.Conv2d):
    """A strided depthwise convolution that, in training on a CPU, runs with stride 1 and keeps every s-th value.

    The sums are the same. The strided backward pass is many times slower than the dense one (torch 2.14, bfloat16),
    half of a training step of MobileNetV2. On GPUs and in inference it is torch's own convolution.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        """Replace `layer` and share its weight; the "meta" device draws no random numbers."""
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
        """Map (B, C, H, W) to (B, C, H/s, W/s)."""
        if not self.training or images.device.type != "cpu":
            return super().forward(images)
        dense = functional.conv2d(images, self.weight, None, 1, self.padding, self.dilation, self.groups)
        down, across = self.stride
        return dense[:, :, ::down, ::across].contiguous(memory_format=torch.channels_last)


def with_fast_depthwise(network: Network) -> Network:
    """Replace each strided depthwise layer without bias in `network` by a `StridedDepthwise`; return `network`."""
    for block in network.modules():
        for name, layer in list(block.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride != (1, 1) and layer.bias is None:
                setattr(block, name, StridedDepthwise(layer))
    return network
