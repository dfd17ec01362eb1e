"""Heatmaps: channel means of the feature maps Fg and Fp of an image, drawn over the photograph (Figures 1, 4, 5).

At the border of an image they show the zero padding of the convolutions, not the vehicle; `covering.py` measures what a
network relies on without reading its maps.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reid.data.vehicle_images import VehicleImages, collate
from reid.features.extraction import BATCH
from reid.model.checkpoint import TrainedNetwork

FloatMap = NDArray[np.float32]
COLORMAP = "turbo"  # blue, green, yellow, red, as in the paper
OPACITY = 0.5  # of the colours over the photograph
GLOBAL, PART = "features before part attention (Fg)", "features after part attention (Fp)"
ADDED = "what part attention adds (Fp - Fg)"


@dataclass(frozen=True, eq=False)
class Heatmaps:
    """Channel means of Fg and Fp of an image, (h, w) each; a baseline has no Fp."""

    global_map: FloatMap
    part_map: FloatMap | None

    def scaled(self) -> dict[str, FloatMap]:
        """Return the maps scaled to [0, 1], by name.

        Fg and Fp share one scale. Fp - Fg, which the attention adds, is much smaller: it has its own, starting at 0.
        """
        low, high = float(self.global_map.min()), float(self.global_map.max())
        if self.part_map is None:
            return {GLOBAL: _scale(self.global_map, low, high)}
        low, high = min(low, float(self.part_map.min())), max(high, float(self.part_map.max()))
        added = self.part_map - self.global_map
        return {
            GLOBAL: _scale(self.global_map, low, high),
            PART: _scale(self.part_map, low, high),
            ADDED: _scale(added, 0.0, float(added.max())),
        }


def compute_heatmaps(network: TrainedNetwork, images: VehicleImages, *, device: str) -> list[Heatmaps]:
    """Return the heatmaps of all images, in order, computed in evaluation mode and float32.

    Raises ImageError if a file cannot be read.
    """
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    heatmaps: list[Heatmaps] = []
    for first in range(0, len(images), BATCH[device]):
        batch = collate([images[index] for index in range(first, min(first + BATCH[device], len(images)))])
        with torch.inference_mode():
            global_maps, part_maps, _ = network.maps(*batch.inputs(device))
        part_means = [None] * len(global_maps) if part_maps is None else _channel_means(part_maps)
        heatmaps += [Heatmaps(*pair) for pair in zip(_channel_means(global_maps), part_means, strict=True)]
    return heatmaps


def overlay(picture: Image.Image, heatmap: FloatMap) -> Image.Image:
    """Return a picture with a heatmap (h, w) in [0, 1] blended over it: blue for 0, red for 1."""
    from matplotlib import colormaps

    colours = colormaps[COLORMAP](upsample(heatmap, picture.size))[..., :3]
    return Image.blend(picture, Image.fromarray((255 * colours).round().astype(np.uint8)), OPACITY)


def upsample(heatmap: FloatMap, size: tuple[int, int]) -> FloatMap:
    """Return a map (h, w) resized to `size` (width, height), bilinear between cell centres."""
    return np.asarray(Image.fromarray(heatmap).resize(size, Image.Resampling.BILINEAR))


def _channel_means(maps: Tensor) -> FloatMap:
    """(B, C, h, w) -> (B, h, w)."""
    return np.asarray(maps.float().mean(dim=1).cpu())


def _scale(heatmap: FloatMap, low: float, high: float) -> FloatMap:
    """Return a map scaled so that `low` is 0 and `high` is 1; all 0 if it is constant."""
    return np.clip((heatmap - low) / (high - low), 0, 1).astype(np.float32) if high > low else np.zeros_like(heatmap)
