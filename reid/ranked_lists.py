"""Ranked lists worth looking at: the worst, the middle and the best queries of a test, with the head of each list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.datasets import Dataset
from data_cache.errors import UserError
from data_cache.protocols import Protocol
from reid.features_file import Features
from reid.ranking import QueryResults
from reid.scores import features_of, labels_of, rank_trial
from reid.top_matches import top_matches

WORST, MIDDLE, BEST = "worst", "middle", "best"


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
    """A query, the head of its list without junk, and how it fared; `group` is worst, middle or best."""

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


def choose_queries(results: QueryResults, count: int) -> list[tuple[int, str]]:
    """Return `count` queries (fewer if fewer have a match) with their group: lowest, median and highest AP, in order.

    Equal precisions are told apart by a fixed shuffle, so that they are not all of one vehicle.
    """
    shuffle = np.random.default_rng(0).permutation(len(results.positives))
    order = np.lexsort((shuffle, results.average_precision))
    order = order[results.valid[order]]
    count = min(count, len(order))
    worst, best = (count + 2) // 3, (count + 1) // 3
    middle = count - worst - best
    start = max(worst, min((len(order) - middle) // 2, len(order) - best - middle))
    chosen = [*order[:worst], *order[start : start + middle], *order[len(order) - best :]]
    return list(zip((int(row) for row in chosen), [WORST] * worst + [MIDDLE] * middle + [BEST] * best, strict=True))


def ranked_lists(
    features: Features, dataset: Dataset, protocol: Protocol, *, queries: int, top_k: int
) -> list[RankedList]:
    """Return `queries` lists of the protocol's first trial, each with its `top_k` images; see `choose_queries`.

    Where the protocol ranks tracks, a list shows the best image of each. Raises UserError where images have no feature,
    or no query has a match.
    """
    trial, table = protocol.trials[0], dataset.table
    results = rank_trial(features, table, trial, protocol.same_camera_is_junk)
    chosen = choose_queries(results, queries)
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
