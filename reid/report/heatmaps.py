"""Heatmaps: the channel means of Fg and Fp of an image, and how they are laid over its photograph (Figures 1, 4, 5)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reid.data.vehicle_images import VehicleImages, collate
from reid.features.extraction import BATCH, forward
from reid.model.pgan import PGAN

Map = NDArray[np.float32]
COLOURS = "turbo"  # from blue over green and yellow to red, as in the paper
VEIL = 0.5  # how much of the photograph the colours cover
GLOBAL, PART, ADDED = "Fg", "Fp", "Fp - Fg"


@dataclass(frozen=True, eq=False)
class Heat:
    """What a network sees in an image: the channel means of Fg and, but for a baseline, of Fp, (h, w) each."""

    trunk: Map
    part: Map | None

    def shares(self) -> dict[str, Map]:
        """Return the maps in [0, 1] by name: Fg and Fp on one scale, from the least of both to the most.

        Fp - Fg, what the attention adds, has a scale of its own that begins at 0: it is a small part of Fp, and would
        hardly be seen on theirs.
        """
        if self.part is None:
            return {GLOBAL: _share(self.trunk, float(self.trunk.min()), float(self.trunk.max()))}
        both = np.stack([self.trunk, self.part])
        low, high, added = float(both.min()), float(both.max()), self.part - self.trunk
        return {
            GLOBAL: _share(self.trunk, low, high),
            PART: _share(self.part, low, high),
            ADDED: _share(added, 0.0, float(added.max())),
        }


def heat_of(network: PGAN, images: VehicleImages, *, device: str) -> list[Heat]:
    """Return the heatmaps of all images, in order, by the network in evaluation mode, in float32.

    Raises ImageError for a file that cannot be read.
    """
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    found: list[Heat] = []
    for first in range(0, len(images), BATCH[device]):
        batch = collate([images[index] for index in range(first, min(first + BATCH[device], len(images)))])
        with torch.inference_mode():
            trunk, part, _ = forward(network.maps, batch, device)
        parts = [None] * len(trunk) if part is None else _channel_means(part)
        found += [Heat(*maps) for maps in zip(_channel_means(trunk), parts, strict=True)]
    return found


def _channel_means(maps: Tensor) -> Map:
    """(B, C, h, w) -> (B, h, w)."""
    return np.asarray(maps.float().mean(dim=1).cpu())


def _share(heat: Map, low: float, high: float) -> Map:
    """Return a map as a share of the way from `low` to `high`; all 0 where there is no way."""
    return np.clip((heat - low) / (high - low), 0, 1).astype(np.float32) if high > low else np.zeros_like(heat)


def enlarged(heat: Map, size: tuple[int, int]) -> Map:
    """Return a map (h, w) at `size` (width, height), bilinear; a value stands in the middle of its cell."""
    return np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))


def veiled(picture: Image.Image, heat: Map) -> Image.Image:
    """Return a picture under the colours of a map (h, w) in [0, 1]: blue for 0, red for 1."""
    from matplotlib import colormaps

    colours = colormaps[COLOURS](enlarged(heat, picture.size))[..., :3]
    return Image.blend(picture, Image.fromarray((255 * colours).round().astype(np.uint8)), VEIL)


HEIGHT = 220  # pixels of a picture
MEANINGS = {GLOBAL: "Fg", PART: "Fp", ADDED: "Fp - Fg, what the attention adds"}
Column = tuple[str, Image.Image]  # what it shows, and the picture
