"""IBN-Net: instance norm beside or after batch norm in the first stages of a ResNet (Pan et al., arXiv 1807.09441).

Instance norm removes what differs between cameras and weathers (contrast, colour cast), batch norm keeps what tells
vehicles apart. Modules are named as in the public repository XingangPan/IBN-Net, whose weight files can be loaded.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

Variant = Literal["a", "b"]


class InstanceBatchNorm(nn.Module):
    """IBN of variant a: instance norm of the first half of the channels, batch norm of the others."""

    def __init__(self, channels: int) -> None:
        """Create both norms, each with scale and shift."""
        super().__init__()
        self.split = channels // 2
        self.IN = nn.InstanceNorm2d(self.split, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.split)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return torch.cat([self.IN(x[:, : self.split]), self.BN(x[:, self.split :])], dim=1)


class NormedBottleneck(nn.Module):
    """The last block of a stage of variant b: instance norm of the sum with the shortcut, before the ReLU."""

    def __init__(self, block: Bottleneck) -> None:
        """Take over the layers of `block`, whose shortcut is the identity."""
        super().__init__()
        self.conv1, self.bn1 = block.conv1, block.bn1
        self.conv2, self.bn2 = block.conv2, block.bn2
        self.conv3, self.bn3 = block.conv3, block.bn3
        self.IN = nn.InstanceNorm2d(block.conv3.out_channels, affine=True)
        self.relu = block.relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + x
        normed: Tensor = self.relu(self.IN(out))
        return normed


def with_instance_norm(network: ResNet, variant: Variant) -> ResNet:
    """Replace norms of a ResNet as Figure 3 of the paper does, variant b for bottleneck blocks only; return `network`.

    Variant a: the first norm of every block of the first three stages. Variant b: the stem's norm, and one more after
    the sum of the last block of the first two stages.
    """
    if variant == "a":
        for stage in (network.layer1, network.layer2, network.layer3):
            for block in stage:
                block.bn1 = InstanceBatchNorm(_width(block))
    else:
        network.bn1 = nn.InstanceNorm2d(network.conv1.out_channels, affine=True)
        for stage in (network.layer1, network.layer2):
            stage[-1] = NormedBottleneck(stage[-1])
    return network


def _width(block: BasicBlock | Bottleneck) -> int:
    width: int = block.conv1.out_channels
    return width
