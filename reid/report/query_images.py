"""PNG files of queries (Figures 1, 4 and 5): ranked lists and heatmaps, by one or several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_cache.images.contact_sheet import save_png
from data_cache.images.loading import load_image
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.covering import MEANING, Covering
from reid.report.pictures.image_grid import ImageRow, draw_grid, image_file_name
from reid.report.pictures.thumbnails import (
    QUERY,
    RIGHT,
    WRONG,
    add_frame,
    covering_thumbnail,
    frame_colours,
    heatmap_thumbnail,
    image_thumbnail,
    list_thumbnails,
    resize_to_height,
)
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists
from reid.retrieval.score_by_part import PartScore

HEIGHT = 220  # pixels of a thumbnail
MAPS_HEADING = (
    "Maps: mean of the feature channels; blue is low, red is high. Before and after attention share a scale, what it "
    "adds has its own. Bright borders come from the padding of the convolutions, not from the vehicle."
)
STRONGEST = 3  # kinds of part named below a result
Panel = tuple[str, Image.Image]  # caption and image
Pair = tuple[str, str]  # an image, and the one that its score is with


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

    The first run's scores choose the queries. `heatmap_device` adds, below each list, what covering regions of its
    images does to their scores, computed on that device. Raises UserError if an image cannot be shown or has no
    feature.
    """
    lists_by_run = rank_queries_of_runs(runs, choice, top_k=top_k)
    coverings_by_run: list[Mapping[Pair, Covering]] = [
        {} if heatmap_device is None else run.coverings(_scored_pairs(lists), device=heatmap_device)
        for run, lists in zip(runs, lists_by_run, strict=True)
    ]
    written = []
    for lists in zip(*lists_by_run, strict=True):
        blocks = [_list_rows(*block) for block in zip(runs, lists, coverings_by_run, strict=True)]
        path = folder / image_file_name(lists[0].query)
        save_png(draw_grid(_title(runs[0], lists[0]), blocks), path)
        written.append(RankedListImage(path, tuple(zip((run.name for run in runs), lists, strict=True))))
    return written


def write_heatmaps(
    runs: Sequence[EvaluatedRun], folder: Path, queries: Sequence[RankedList], *, device: str
) -> list[Path]:
    """Write one PNG per query into `folder`: what covering regions does to its score, then the feature maps by run.

    Raises UserError if an image cannot be shown.
    """
    names = [ranked.query for ranked in queries]
    heatmaps = [run.heatmaps(names, device=device) for run in runs]
    explained = explain_queries(runs, queries, device=device)
    written = []
    for ranked, panels in zip(queries, explained, strict=True):
        captions, images = zip(*panels.panels(runs, height=HEIGHT), strict=True)
        rows = [ImageRow(f"{panels.heading}: {MEANING}", images, captions)]
        for run, by_name in zip(runs, heatmaps, strict=True):
            maps = by_name[ranked.query].scaled()
            shown = [heatmap_thumbnail(run, ranked.query, one, QUERY, height=HEIGHT) for one in maps.values()]
            rows.append(
                ImageRow("" if len(rows) > 1 else MAPS_HEADING, shown, [f"{run.name}: {kind}" for kind in maps])
            )
        path = folder / image_file_name(ranked.query)
        save_png(draw_grid(ranked.query, [rows[:1], rows[1:]]), path)
        written.append(path)
    return written


@dataclass(frozen=True, eq=False)
class ExplainedQuery:
    """A query, the image that its score is with, and what covering does to it by run; None without a network."""

    query: str
    other: str
    other_is_right: bool
    coverings: tuple[Covering | None, ...]

    @property
    def heading(self) -> str:
        """What the score is with, as a phrase."""
        return f"score of the query with its best {'true match' if self.other_is_right else 'result'}"

    def panels(self, runs: Sequence[EvaluatedRun], *, height: int, framed: bool = True) -> list[Panel]:
        """Return the query with its part boxes by run, the other image, and by run the query with its squares.

        All runs share a scale. `framed` is for pictures outside a page.
        """
        run, frame = runs[0], QUERY if framed else None
        panels = [
            (
                f"query, {one.name}: attention in %" if one.attends_to_parts else "query",
                image_thumbnail(one, self.query, frame, height=height, show_weights=True),
            )
            for one in ([one for one in runs if one.attends_to_parts] or [run])
        ]
        photograph, _ = resize_to_height(load_image(run.dataset.path(self.other), turned=run.parts.turned), height)
        if framed:
            photograph = add_frame(photograph, RIGHT if self.other_is_right else WRONG, height)
        panels.append((f"best {'true match' if self.other_is_right else 'result'}", photograph))
        largest = max((one.largest for one in self.coverings if one is not None), default=0.0)
        for one, covering in zip(runs, self.coverings, strict=True):
            if covering is not None:
                picture = covering_thumbnail(one, self.query, covering, frame, height=height, largest=largest)
                panels.append((f"{one.name}: score {covering.score:.3f}, {_effects(covering)}", picture))
        return panels


def explain_queries(
    runs: Sequence[EvaluatedRun], queries: Sequence[RankedList], *, device: str
) -> list[ExplainedQuery]:
    """Return what covering regions of each query does to its score with its best true match by the first run.

    Without a true match it is the first image of the query's list. Raises UserError if an image cannot be read.
    """
    matches = [runs[0].best_true_match(ranked) for ranked in queries]
    pairs = [(ranked.query, match or ranked.images[0].name) for ranked, match in zip(queries, matches, strict=True)]
    by_run = [run.coverings(pairs, device=device) for run in runs]
    return [
        ExplainedQuery(*pair, match is not None, tuple(coverings.get(pair) for coverings in by_run))
        for pair, match in zip(pairs, matches, strict=True)
    ]


def part_effects(run: EvaluatedRun, name: str, covering: Covering) -> list[tuple[str, float]]:
    """Return what covering each part box of an image adds to the score, what lowers it most first."""
    row = int(run.parts.rows([name])[0])
    labels = run.parts.labels[row, : len(covering.parts)]
    found = [
        (run.parts.part_names[label], float(effect))
        for label, effect in zip(labels, covering.parts, strict=False)
        if label >= 0 and effect == effect  # not NaN
    ]
    return sorted(found, key=lambda part: part[1])


def _effects(covering: Covering) -> str:
    return f"covering a square changes it by {covering.squares.min():+.3f} to {covering.squares.max():+.3f}"


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


def _scored_pairs(lists: Sequence[RankedList]) -> list[Pair]:
    """Return the pairs behind the scores of lists: the query with its first result, every result with the query."""
    return [pair for ranked in lists for pair in _list_pairs(ranked)]


def _list_pairs(ranked: RankedList) -> list[Pair]:
    return [(ranked.query, ranked.images[0].name), *((image.name, ranked.query) for image in ranked.images)]


def _title(run: EvaluatedRun, ranked: RankedList) -> str:
    camera = f", camera {ranked.camera}" if ranked.camera >= 0 else ""
    return f"{run.dataset.name}, {run.metrics['split']}: query {ranked.query}, vehicle {ranked.vehicle}{camera}"


def _list_rows(run: EvaluatedRun, ranked: RankedList, coverings: Mapping[Pair, Covering]) -> list[ImageRow]:
    """Return the row of a ranked list and, below it, what covering squares of its images does to their scores."""
    thumbnails = list_thumbnails(run, ranked, height=HEIGHT, show_weights=True)
    weights = "; attention in percent beside each part box" if run.attends_to_parts else ""
    rows = [ImageRow(f"{run.name}: {query_summary(ranked)}{weights}", thumbnails, _captions(run, ranked))]
    if not coverings:
        return rows
    effects = [coverings[pair] for pair in _list_pairs(ranked)]
    largest = max(effect.largest for effect in effects)
    images = [
        covering_thumbnail(run, name, effect, frame, height=HEIGHT, largest=largest)
        for (name, frame), effect in zip(frame_colours(ranked), effects, strict=True)
    ]
    heading = f"{run.name}: score with the query, of the query with the first result; {MEANING}"
    return [*rows, ImageRow(heading, images, [f"up to {effect.squares.min():+.3f}" for effect in effects])]


def _captions(run: EvaluatedRun, ranked: RankedList) -> list[str]:
    """Return the captions of a list; with PGAN+, what the score is the sum of is below it."""
    captions = [f"query{_camera(ranked.camera)}"]
    for rank, image in enumerate(ranked.images, start=1):
        scores = run.score_by_part(ranked.query, image.name)
        verdict = f"{rank} {'right' if image.right else 'wrong'}  {image.score:.3f}{_camera(image.camera)}"
        captions.append("\n".join([verdict, *describe_parts(scores)]))
    return captions


def describe_parts(scores: Sequence[PartScore], count: int = STRONGEST) -> list[str]:
    """Return what a score is the sum of in words, a line each: the strongest parts, and how many there are besides."""
    lines = [f"{score.part} {score.added:+.3f}" for score in scores[: 1 + count]]
    rest = scores[1 + count :]
    return lines + ([f"{len(rest)} other parts {sum(score.added for score in rest):+.3f}"] if rest else [])


def _camera(camera: int) -> str:
    return "" if camera < 0 else f"  camera {camera}"
