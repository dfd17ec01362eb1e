"""Ranked lists as PNG files (Figures 4 and 5): a query and its first images by one run or several, with heatmaps."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_cache.images.contact_sheet import save_sheet
from reid.report.evaluated_run import ShownRun
from reid.report.heatmap_pictures import Glance, heat_tile
from reid.report.heatmaps import ADDED, GLOBAL, HEIGHT, MEANINGS, PART
from reid.report.picture_grid import PictureLine, grid, picture_name
from reid.report.tiles import frames_of, tiles_of
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists


@dataclass(frozen=True)
class RankedPicture:
    """A picture on disk, and the lists on it, each with the name of its run."""

    path: Path
    lists: tuple[tuple[str, RankedList], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"file": str(self.path), "lists": [{"run": name, **asdict(found)} for name, found in self.lists]}


def write_ranked(
    runs: Sequence[ShownRun], folder: Path, choice: Choice, *, top_k: int, heat_on: str | None = None
) -> list[RankedPicture]:
    """Write a PNG for each chosen query into `folder`, the lists of `runs` one above the other; return them.

    The first run's scores choose the queries. `heat_on` is the device that computes heatmaps, None for none. Raises
    UserError where images cannot be shown, or have no feature.
    """
    lists = lists_of(runs, choice, top_k=top_k)
    seen = [
        Glance(run, {} if heat_on is None else run.heat(_names_on(own), device=heat_on))
        for run, own in zip(runs, lists, strict=True)
    ]
    written = []
    for shown in zip(*lists, strict=True):
        blocks = [_lines(one, found) for one, found in zip(seen, shown, strict=True)]
        path = folder / picture_name(shown[0].query)
        save_sheet(grid(_title(runs[0], shown[0]), blocks), path)
        written.append(RankedPicture(path, tuple(zip((run.name for run in runs), shown, strict=True))))
    return written


def lists_of(runs: Sequence[ShownRun], choice: Choice, *, top_k: int) -> list[list[RankedList]]:
    """Return each run's lists of the same queries, those that the first run's scores choose."""
    dataset, protocol = runs[0].dataset, runs[0].protocol()
    first = ranked_lists(runs[0].features, dataset, protocol, choice, top_k=top_k)
    same = Choice(names=tuple(found.query for found in first))
    return [first, *(ranked_lists(run.features, dataset, protocol, same, top_k=top_k) for run in runs[1:])]


def _names_on(lists: Sequence[RankedList]) -> list[str]:
    return list(dict.fromkeys(name for found in lists for name, _ in frames_of(found)))


def _title(run: ShownRun, found: RankedList) -> str:
    camera = f", camera {found.camera}" if found.camera >= 0 else ""
    return f"{run.dataset.name}, {run.metrics['split']}: query {found.query}, vehicle {found.vehicle}{camera}"


def _lines(seen: Glance, found: RankedList) -> list[PictureLine]:
    run = seen.run
    tiles = tiles_of(found, run.dataset, run.parts, run.features, height=HEIGHT, keyed=True)
    numbers = "; beside each part box its attention in percent" if run.weighs_parts else ""
    lines = [PictureLine(f"{run.name}: {fared(found)}{numbers}", tiles, _captions(found))]
    return [*lines, *_heat_lines(seen, found)] if seen.heat else lines


def _heat_lines(seen: Glance, found: RankedList) -> list[PictureLine]:
    """Return the heatmaps of a list's images: of Fp and of what is added to it; of a baseline, of Fg."""
    frames = frames_of(found)
    shares = [seen.heat[name].shares() for name, _ in frames]
    lines = []
    for kind in (PART, ADDED) if PART in shares[0] else (GLOBAL,):
        pictures = [
            heat_tile(seen.run, name, share[kind], frame) for (name, frame), share in zip(frames, shares, strict=True)
        ]
        lines.append(PictureLine(f"{seen.run.name}: {MEANINGS[kind]}", pictures))
    return lines


def fared(found: RankedList) -> str:
    """Return how a query fared, as a phrase."""
    if not found.positives:
        return "no match in the gallery"
    matches = f"{found.positives:,} {'match' if found.positives == 1 else 'matches'} in the gallery"
    return f"average precision {found.average_precision:.3f}, first match at rank {found.first_hit_rank:,}, {matches}"


def _captions(found: RankedList) -> list[str]:
    ranked = [
        f"{rank} {'right' if image.right else 'wrong'}  {image.score:.3f}{_camera(image.camera)}"
        for rank, image in enumerate(found.images, start=1)
    ]
    return [f"query{_camera(found.camera)}", *ranked]


def _camera(camera: int) -> str:
    return "" if camera < 0 else f"  camera {camera}"
