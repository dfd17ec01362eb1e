"""PNG files of queries (Figures 1, 4 and 5): ranked lists and heatmaps, by one or several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_cache.images.contact_sheet import save_png
from data_cache.images.loading import load_image
from reid.report.evaluated_run import EvaluatedRun
from reid.report.heatmaps import ADDED, GLOBAL, PART, Heatmaps
from reid.report.image_grid import ImageRow, draw_grid, image_file_name
from reid.report.thumbnails import (
    QUERY,
    add_frame,
    frame_colours,
    heatmap_thumbnail,
    image_thumbnail,
    list_thumbnails,
    resize_to_height,
)
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists

HEIGHT = 220  # pixels of a thumbnail
MEANINGS = {GLOBAL: "Fg", PART: "Fp", ADDED: "Fp - Fg, what the attention adds"}
Panel = tuple[str, Image.Image]  # caption and image


@dataclass(frozen=True)
class RankedListImage:
    """A PNG file and the ranked lists on it, each with the name of its run."""

    path: Path
    lists: tuple[tuple[str, RankedList], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"file": str(self.path), "lists": [{"run": name, **asdict(ranked)} for name, ranked in self.lists]}


def write_ranked_lists(
    runs: Sequence[EvaluatedRun], folder: Path, choice: Choice, *, top_k: int, heatmap_device: str | None = None
) -> list[RankedListImage]:
    """Write one PNG per chosen query into `folder`, with one list per run, and return them.

    The first run's scores choose the queries. `heatmap_device` adds heatmaps computed on that device. Raises UserError
    if an image cannot be shown or has no feature.
    """
    lists_by_run = rank_queries_of_runs(runs, choice, top_k=top_k)
    heatmaps_by_run: list[Mapping[str, Heatmaps]] = [
        {} if heatmap_device is None else run.heatmaps(_image_names(lists), device=heatmap_device)
        for run, lists in zip(runs, lists_by_run, strict=True)
    ]
    written = []
    for lists in zip(*lists_by_run, strict=True):
        blocks = [_list_rows(*block) for block in zip(runs, lists, heatmaps_by_run, strict=True)]
        path = folder / image_file_name(lists[0].query)
        save_png(draw_grid(_title(runs[0], lists[0]), blocks), path)
        written.append(RankedListImage(path, tuple(zip((run.name for run in runs), lists, strict=True))))
    return written


def write_heatmaps(runs: Sequence[EvaluatedRun], folder: Path, names: Sequence[str], *, device: str) -> list[Path]:
    """Write one PNG per named image into `folder`, with a row of heatmaps per run, and return the paths.

    Raises UserError if an image cannot be shown.
    """
    heatmaps = [run.heatmaps(list(names), device=device) for run in runs]
    heading = f"{MEANINGS[ADDED]}; blue is low, red is high. Fg and Fp share a scale, Fp - Fg has its own"
    written = []
    for name in names:
        rows: list[ImageRow] = []
        for panels in heatmap_panels(name, runs, heatmaps, height=HEIGHT):
            captions, images = zip(*panels, strict=True)
            rows.append(ImageRow(heading if rows else "", images, captions))
        path = folder / image_file_name(name)
        save_png(draw_grid(name, [rows]), path)
        written.append(path)
    return written


def heatmap_panels(
    name: str, runs: Sequence[EvaluatedRun], heatmaps: Sequence[Mapping[str, Heatmaps]], *, height: int
) -> list[list[Panel]]:
    """Return the panels of an image: first the photograph and its part boxes by run, then each run's heatmaps."""
    photograph, _ = resize_to_height(load_image(runs[0].dataset.path(name), turned=runs[0].parts.turned), height)
    first = [("photograph", add_frame(photograph, QUERY, height))]
    first += [
        (f"{run.name}: attention in %", image_thumbnail(run, name, QUERY, height=height, show_weights=True))
        for run in runs
        if run.attends_to_parts
    ]
    others = [
        [
            (f"{run.name}: {kind}", heatmap_thumbnail(run, name, heatmap, QUERY, height=height))
            for kind, heatmap in by_name[name].scaled().items()
        ]
        for run, by_name in zip(runs, heatmaps, strict=True)
    ]
    return [first, *others]


def rank_queries_of_runs(runs: Sequence[EvaluatedRun], choice: Choice, *, top_k: int) -> list[list[RankedList]]:
    """Return each run's ranked lists of the queries that `choice` takes by the first run's scores."""
    dataset, protocol = runs[0].dataset, runs[0].protocol()
    first = ranked_lists(runs[0].features, dataset, protocol, choice, top_k=top_k)
    same_queries = Choice(names=tuple(ranked.query for ranked in first))
    return [first, *(ranked_lists(run.features, dataset, protocol, same_queries, top_k=top_k) for run in runs[1:])]


def query_summary(ranked: RankedList) -> str:
    """Return a query's average precision, first match and number of matches as a phrase."""
    if not ranked.positives:
        return "no match in the gallery"
    matches = f"{ranked.positives:,} {'match' if ranked.positives == 1 else 'matches'} in the gallery"
    return f"average precision {ranked.average_precision:.3f}, first match at rank {ranked.first_hit_rank:,}, {matches}"


def _image_names(lists: Sequence[RankedList]) -> list[str]:
    return list(dict.fromkeys(name for ranked in lists for name, _ in frame_colours(ranked)))


def _title(run: EvaluatedRun, ranked: RankedList) -> str:
    camera = f", camera {ranked.camera}" if ranked.camera >= 0 else ""
    return f"{run.dataset.name}, {run.metrics['split']}: query {ranked.query}, vehicle {ranked.vehicle}{camera}"


def _list_rows(run: EvaluatedRun, ranked: RankedList, heatmaps: Mapping[str, Heatmaps]) -> list[ImageRow]:
    """Return the row of a ranked list and, below it, those of its heatmaps: Fp and Fp - Fg, or Fg for a baseline."""
    thumbnails = list_thumbnails(run, ranked, height=HEIGHT, show_weights=True)
    weights = "; attention in percent beside each part box" if run.attends_to_parts else ""
    rows = [ImageRow(f"{run.name}: {query_summary(ranked)}{weights}", thumbnails, _captions(ranked))]
    if not heatmaps:
        return rows
    frames = frame_colours(ranked)
    scaled = [heatmaps[name].scaled() for name, _ in frames]
    for kind in (PART, ADDED) if PART in scaled[0] else (GLOBAL,):
        images = [
            heatmap_thumbnail(run, name, maps[kind], frame, height=HEIGHT)
            for (name, frame), maps in zip(frames, scaled, strict=True)
        ]
        rows.append(ImageRow(f"{run.name}: {MEANINGS[kind]}", images))
    return rows


def _captions(ranked: RankedList) -> list[str]:
    return [
        f"query{_camera(ranked.camera)}",
        *(
            f"{rank} {'right' if image.right else 'wrong'}  {image.score:.3f}{_camera(image.camera)}"
            for rank, image in enumerate(ranked.images, start=1)
        ),
    ]


def _camera(camera: int) -> str:
    return "" if camera < 0 else f"  camera {camera}"
