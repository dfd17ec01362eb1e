"""Where networks look in an image, side by side (Figures 1 and 4): photograph, part boxes, heatmaps of Fg and Fp."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from data_cache.images.contact_sheet import save_sheet
from data_cache.images.loading import load_image
from reid.report.evaluated_run import ShownRun
from reid.report.heatmaps import ADDED, HEIGHT, MEANINGS, Column, Heat, Map, veiled
from reid.report.picture_grid import PictureLine, grid, picture_name
from reid.report.tiles import QUERY, Colour, at_height, framed, tile_of


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
