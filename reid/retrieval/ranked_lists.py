"""Ranked lists worth looking at: the heads of those of the worst, the middle and the best queries, or of named ones."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol, Rows
from reid.features.file import Features
from reid.retrieval.ranking import Labels, Matrix, Numbers, QueryResults, is_junk, score_rows
from reid.retrieval.scores import features_of, labels_of, rank_trial

WORST, MIDDLE, BEST = "worst", "middle", "best"
HARDEST, NAMED = "hardest", "chosen"  # groups that stand alone
Chosen = list[tuple[int, str]]  # places among a test's queries, with their groups


def top_matches(
    query: Matrix,
    gallery: Matrix,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    same_camera_is_junk: bool,
    k: int,
    tracks: Numbers | None = None,
) -> tuple[Numbers, Matrix]:
    """Return the best k gallery rows of each query, (Q, k), and their scores (Q, k); inputs as of `rank_queries`.

    Junk is left out; where fewer than k images remain, the row is -1 and the score -inf. Exact ties put the wrong image
    first, then the earlier row. Of `tracks` the best k are listed, each by the row of its best image.
    """
    best = np.full((len(query), k), -1, dtype=np.int64)
    best_scores = np.full((len(query), k), -np.inf, dtype=np.float32)
    units = gallery_labels if tracks is None else gallery_labels.of_tracks(tracks)
    for index, images in score_rows(query, gallery, chunk=64):
        scores = images if tracks is None else np.maximum.reduceat(images, tracks)
        match = units.vehicle == query_labels.vehicle[index]
        junk = match & is_junk(query_labels.camera[index], units.camera) & same_camera_is_junk
        order = np.lexsort((match, -scores))
        order = order[~junk[order]][:k]
        best[index, : len(order)] = order if tracks is None else _best_images(images, tracks, order)
        best_scores[index, : len(order)] = scores[order]
    return best, best_scores


def _best_images(scores: Matrix, tracks: Numbers, chosen: Numbers) -> Numbers:
    """Return the row of the best image of each chosen track (M,), by the scores of the images (G,)."""
    ends = np.append(tracks[1:], len(scores))
    rows = [first + scores[first:end].argmax() for first, end in zip(tracks[chosen], ends[chosen], strict=True)]
    return np.array(rows, dtype=np.int64)


@dataclass(frozen=True)
class RankedImage:
    """An image of the gallery in a list: cosine score in [-1, 1], camera (-1: unknown), and whether it is a match."""

    name: str
    vehicle: str
    camera: int
    score: float
    right: bool


@dataclass(frozen=True)
class RankedList:
    """A query, the head of its list without junk, and how it fared; `group` is worst, middle, best, hardest or chosen.

    A query without a match has 0 for its precision, first rank and matches.
    """

    group: str
    query: str
    vehicle: str
    camera: int
    images: tuple[RankedImage, ...]
    average_precision: float
    first_hit_rank: int
    positives: int

    @property
    def first_is_right(self) -> bool:
        """Whether the first image of the list shows the query's vehicle."""
        return self.first_hit_rank == 1


@dataclass(frozen=True)
class Choice:
    """Which queries: those of `names`, else the `count` hardest, else `count` of the worst, the middle and the best."""

    count: int = 12
    names: tuple[str, ...] = ()
    hardest: bool = False

    def of(self, results: QueryResults, queries: Sequence[str]) -> Chosen:
        """Return the chosen among a test's `queries`. Raises UserError for a name that is none of them."""
        if self.names:
            place = {name: number for number, name in enumerate(queries)}
            return [(_place_of(name, place), NAMED) for name in dict.fromkeys(self.names)]
        if self.hardest:
            return [(int(row), HARDEST) for row in _by_precision(results)[: self.count]]
        return choose_queries(results, self.count)


def _place_of(name: str, place: dict[str, int]) -> int:
    if name not in place:
        near = difflib.get_close_matches(name, place, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the first of {len(place)} is {next(iter(place), 'missing')}"
        raise UserError(f"{name}: not a query of this test; {hint}")
    return place[name]


def choose_queries(results: QueryResults, count: int) -> Chosen:
    """Return `count` queries (fewer if fewer have a match) with their group: lowest, median and highest AP, in order.

    Equal precisions are told apart by a fixed shuffle, so that they are not all of one vehicle.
    """
    order = _by_precision(results)
    count = min(count, len(order))
    worst, best = (count + 2) // 3, (count + 1) // 3
    middle = count - worst - best
    start = max(worst, min((len(order) - middle) // 2, len(order) - best - middle))
    chosen = [*order[:worst], *order[start : start + middle], *order[len(order) - best :]]
    return list(zip((int(row) for row in chosen), [WORST] * worst + [MIDDLE] * middle + [BEST] * best, strict=True))


def _by_precision(results: QueryResults) -> Rows:
    """Return the queries that have a match, the lowest precision first."""
    shuffle = np.random.default_rng(0).permutation(len(results.positives))
    order = np.lexsort((shuffle, results.average_precision))
    return np.asarray(order[results.valid[order]])


def ranked_lists(
    features: Features, dataset: Dataset, protocol: Protocol, choice: Choice, *, top_k: int
) -> list[RankedList]:
    """Return the chosen queries' lists in the protocol's first trial, each with its `top_k` images.

    Where the protocol ranks tracks, a list shows the best image of each. Raises UserError where images have no feature,
    no query has a match, or a name is no query's.
    """
    trial, table = protocol.trials[0], dataset.table
    results = rank_trial(features, table, trial, protocol.same_camera_is_junk)
    chosen = choice.of(results, table["name"].iloc[trial.query].tolist())
    if not chosen:
        raise UserError(
            f"none of the {len(trial.query)} queries of {protocol.split} has a match; there is no list to show"
        )
    labels = labels_of(table)
    rows = trial.query[[index for index, _ in chosen]]
    best, scores = top_matches(
        features_of(features, table, rows),
        features_of(features, table, trial.gallery),
        labels.take(rows),
        labels.take(trial.gallery),
        same_camera_is_junk=protocol.same_camera_is_junk,
        k=top_k,
        tracks=trial.tracks,
    )
    return [
        _ranked_list(dataset, results, index, group, int(row), trial.gallery[line[line >= 0]].tolist(), values.tolist())
        for (index, group), row, line, values in zip(chosen, rows, best, scores, strict=True)
    ]


def _ranked_list(
    dataset: Dataset,
    results: QueryResults,
    index: int,
    group: str,
    row: int,
    gallery: Sequence[int],
    scores: Sequence[float],
) -> RankedList:
    query = _shown(dataset, row, row, 1.0)
    return RankedList(
        group=group,
        query=query.name,
        vehicle=query.vehicle,
        camera=query.camera,
        images=tuple(_shown(dataset, row, other, score) for other, score in zip(gallery, scores, strict=False)),
        average_precision=float(results.average_precision[index]),
        first_hit_rank=int(results.first_hit_rank[index]),
        positives=int(results.positives[index]),
    )


def _shown(dataset: Dataset, query: int, row: int, score: float) -> RankedImage:
    table = dataset.table
    vehicle = str(table["vehicle_id"].iat[row])
    return RankedImage(
        name=str(table["name"].iat[row]),
        vehicle=vehicle,
        camera=int(table["camera_id"].to_numpy(np.int64)[row]),
        score=score,
        right=vehicle == str(table["vehicle_id"].iat[query]),
    )
