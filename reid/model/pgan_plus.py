"""PGAN+, which is not in the paper: a network of the paper for the whole image, and `PartSlots` for its parts.

PGAN weighs cells of the feature map of a shrunk image, where a sticker is a fraction of a cell. PGAN+ looks at each
part in the resolution of the stored image, and compares a part only with parts of its own kind. Its feature is

    f = [g / |g|, a p]

with g (B, 2C') the feature of the whole, p (B, K * S) the unit vector of the slots, and a learned scale a. So the
similarity of two images with parts is the mean of the similarities of their wholes and of their parts, the latter
weighted by a^2; without parts it is that of the wholes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_cache.parts.names import PART_NAMES
from reid.model.flip_test import embed_with_mirror
from reid.model.part_slots import PartSlots
from reid.model.pgan import PGAN, PGANOutput, cosines

FIRST_SCALE = 0.5  # of the slots beside the whole: 0.4 to 0.7 was best on validation vehicles, at 128 and at 224 pixels


class PGANPlusOutput(NamedTuple):
    """Output for B images."""

    whole: PGANOutput  # of the network for the whole image
    slot_cosines: Tensor  # (B, vehicles) of the slots p and their class weights
    cosines: Tensor  # (B, vehicles) of `feature` and its class weights
    feature: Tensor  # (B, 2C' + K * S), normalised it is the feature used for evaluation
    attention: Tensor  # (B, D) share of each part in p, 0 for absent parts


class PGANPlus(nn.Module):
    """The network. `whole` is one of the paper's, usually the baseline; `slots` are for the parts."""

    def __init__(self, whole: PGAN, *, vehicles: int, features: int, slot: int, flip_test: bool = False) -> None:
        """Create the slots, of `slot` values each, beside `whole`, whose features have 2C' = `features` values."""
        super().__init__()
        values = len(PART_NAMES) * slot
        self.whole = whole
        self.slots = PartSlots(len(PART_NAMES), slot)
        self.scale = nn.Parameter(torch.full((1,), FIRST_SCALE))
        self.slot_classifier = nn.Linear(values, vehicles, bias=False)
        self.classifier = nn.Linear(features + values, vehicles, bias=False)
        for layer in (self.slot_classifier, self.classifier):
            nn.init.normal_(layer.weight, std=0.01)
        self.flip_test = flip_test

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor, crops: Tensor) -> PGANPlusOutput:
        """Inputs of `PGAN`, where labels (B, D) has the kind of each part, -1 for none; crops (B, D, 3, S, S)."""
        whole: PGANOutput = self.whole(images, boxes, labels >= 0)
        vector, weights = self.slots(crops, labels)
        feature = self._joined(whole.feature, vector)
        slot_cosines = cosines(vector, self.slot_classifier.weight)
        return PGANPlusOutput(whole, slot_cosines, cosines(feature, self.classifier.weight), feature, weights)

    def embed(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return `feature` and `attention` of the output of `forward`, as `PGAN.embed` does."""
        return embed_with_mirror(self._embed, *inputs) if self.flip_test else self._embed(*inputs)

    def maps(
        self, images: Tensor, boxes: Tensor, labels: Tensor, crops: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the maps of the whole image, as `PGAN.maps` does."""
        return self.whole.maps(images, boxes, labels >= 0)

    def _embed(self, images: Tensor, boxes: Tensor, labels: Tensor, crops: Tensor) -> tuple[Tensor, Tensor]:
        feature, _ = self.whole.embed(images, boxes, labels >= 0)
        vector, weights = self.slots(crops, labels)
        return self._joined(feature, vector), weights

    def _joined(self, feature: Tensor, vector: Tensor) -> Tensor:
        return torch.cat([functional.normalize(feature.float()), self.scale * vector], dim=1)
