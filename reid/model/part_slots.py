"""Parts at their own resolution, in a vector with one slot for each kind of part.

Notation: crops (B, D, 3, s, s); labels (B, D), the kind of each part, -1 where there is none; K kinds; a slot has S
values.

What both images show is compared, and nothing else: a kind that one of two images lacks is 0 in its vector, and adds
nothing to the inner product of the two. So vectors of a fixed length suffice, and one product searches a gallery.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 4  # pixels along each side of what the first convolution sees at a time


class PartEncoder(nn.Sequential):
    """A small network for crops, shared by all kinds of parts: patches of 4 pixels, then three convolutions.

    It starts from random weights: the first stages of a pretrained backbone cost several times as much, at the
    resolution where they are needed.
    """

    def __init__(self, channels: int) -> None:
        """Create the layers 3 -> 48 -> 48 -> 96 -> channels, with an eighth of the crop's resolution at the end."""
        super().__init__(
            *_convolution(3, 48, PATCH, stride=PATCH, padding=0),
            *_convolution(48, 48, 3),
            *_convolution(48, 96, 3, stride=2),
            *_convolution(96, channels, 3),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, s, s) -> (N, channels): the maximum of each channel, for what is anywhere in a crop, plus the mean."""
        maps = crops
        for layer in self:
            maps = layer(maps)
        return maps.amax(dim=(2, 3)) + maps.mean(dim=(2, 3))


def _convolution(channels: int, features: int, size: int, *, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, features, size, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(features), nn.ReLU(inplace=True)]


class PartSlots(nn.Module):
    """The encoder, and for each kind of part its own projection into the kind's slot."""

    def __init__(self, kinds: int, slot: int, *, channels: int = 128) -> None:
        """Create the projections channels -> slot of K = `kinds` kinds."""
        super().__init__()
        self.encoder = PartEncoder(channels)
        self.projections = nn.Parameter(torch.randn(kinds, channels, slot) / channels**0.5)

    def forward(self, crops: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vector of all slots, (B, K * S), and the weight of each part in it, (B, D).

        A slot holds the sum over the parts of its kind, 0 if there is none; the vector of an image without parts is 0.
        The weight of a kind is the squared length of its slot, and its parts share it equally.
        """
        kinds = torch.arange(len(self.projections), device=labels.device)
        of_kind = (labels[..., None] == kinds).float()  # (B, D, K)
        encoded = self._encoded(crops, labels >= 0)
        with torch.autocast(crops.device.type, enabled=False):
            by_kind = of_kind.transpose(1, 2) @ encoded  # (B, K, C)
            slots = torch.einsum("bkc,kcs->bks", by_kind, self.projections)
            vector = functional.normalize(slots.flatten(1))
            weights = vector.view(slots.shape).square().sum(dim=2)  # (B, K), sum 1
            shared = weights / of_kind.sum(dim=1).clamp(min=1)
            return vector, (of_kind @ shared[..., None])[..., 0]

    def _encoded(self, crops: Tensor, present: Tensor) -> Tensor:
        """(B, D, 3, s, s) -> (B, D, C) in float32, 0 where there is no part."""
        if not self.training:
            flat: Tensor = self.encoder(crops.flatten(0, 1))
            return flat.float().view(*present.shape, self.projections.shape[1]) * present[..., None]
        encoded = present.new_zeros(*present.shape, self.projections.shape[1], dtype=torch.float32)
        # Absent parts must not enter the statistics of batch norm. Where processes share these statistics, the others
        # wait for a process that has no part.
        shared = any(isinstance(layer, nn.SyncBatchNorm) for layer in self.encoder)
        if shared or present.any():
            encoded[present] = self.encoder(crops[present]).float()
        return encoded
