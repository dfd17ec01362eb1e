"""Heatmaps: the channel means of Fg and Fp of an image, and how they are laid over its photograph (Figures 1, 4, 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data_cache.contact_sheet import save_sheet
from data_cache.images import load_image
from reid.features import BATCH, forward
from reid.images import VehicleImages, collate
from reid.pgan import PGAN
from reid.picture_grid import PictureLine, grid, picture_name
from reid.pictures import QUERY, Colour, at_height, framed, tile_of
from reid.shown_run import ShownRun

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


@dataclass(frozen=True, eq=False)
class Glance:
    """A run and its heatmaps of some images, by name."""

    run: ShownRun
    heat: Mapping[str, Heat]


def glances(runs: Sequence[ShownRun], names: Sequence[str], *, device: str) -> list[Glance]:
    """Return the heatmaps of the named images by each run. Raises UserError as `ShownRun.heat`."""
    return [Glance(run, run.heat(list(names), device=device)) for run in runs]


def columns_of(name: str, seen: Sequence[Glance], *, height: int = HEIGHT) -> list[list[Column]]:
    """Return the pictures of an image: itself and its boxes by each run that weighs parts, then each run's heatmaps."""
    dataset = seen[0].run.dataset
    plain, _ = at_height(load_image(dataset.path(name)), height)
    first = [("photograph", framed(plain, QUERY, height))]
    for run in (one.run for one in seen if one.run.weighs_parts):
        boxes = tile_of(name, QUERY, dataset, run.parts, run.features, height=height, keyed=True)
        first.append((f"{run.name}: attention in %", boxes))
    return [first, *(_heat_columns(name, one, height) for one in seen)]


def _heat_columns(name: str, seen: Glance, height: int) -> list[Column]:
    return [
        (f"{seen.run.name}: {kind}", heat_tile(seen.run, name, share, QUERY, height=height))
        for kind, share in seen.heat[name].shares().items()
    ]


def heat_tile(run: ShownRun, name: str, share: Map, frame: Colour, *, height: int = HEIGHT) -> Image.Image:
    """Return an image under a heatmap (h, w) in [0, 1], as large as its tile."""
    picture, _ = at_height(load_image(run.dataset.path(name)), height)
    return framed(veiled(picture, share), frame, height)


def write_heatmaps(seen: Sequence[Glance], folder: Path, names: Sequence[str]) -> list[Path]:
    """Write a PNG for each named image into `folder`, a line of heatmaps for each run, and return them.

    Raises UserError where an image cannot be shown.
    """
    meaning = f"{MEANINGS[ADDED]}; blue is little, red is much. Fg and Fp have one scale, Fp - Fg its own"
    written = []
    for name in names:
        lines = []
        for told, columns in zip(("", *[meaning] * len(seen)), columns_of(name, seen), strict=True):
            headings, pictures = zip(*columns, strict=True)
            lines.append(PictureLine(told, pictures, headings))
        path = folder / picture_name(name)
        save_sheet(grid(name, [lines]), path)
        written.append(path)
    return written
