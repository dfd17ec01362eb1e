"""Ranked lists to look at: the first images for the worst, middle and best queries, or for named ones."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from reid.features.file import Features
from reid.retrieval.metrics import QueryResults
from reid.retrieval.ranking import (
    LabelledTrial,
    Mask,
    Matrix,
    Numbers,
    cosine_scores,
    labelled_trials,
    rank_queries,
)

WORST, MIDDLE, BEST = "worst", "middle", "best"
HARDEST, NAMED = "hardest", "chosen"  # all queries of a choice are in one of these, or in the three above
Scorer = Callable[[Matrix, Matrix], Iterable[Tensor]]  # queries, gallery -> blocks of scores, see `rank_queries`
Chosen = list[tuple[int, str]]  # indices of a test's queries, with their groups


@dataclass(frozen=True)
class RankedImage:
    """A gallery image in a list: cosine score in [-1, 1], camera (-1: unknown), and whether it is a match."""

    name: str
    vehicle: str
    camera: int
    score: float
    right: bool


@dataclass(frozen=True)
class RankedList:
    """A query, the first images of its list without junk, and its metrics.

    `group` is worst, middle, best, hardest or chosen. Without a match, average precision, first rank and positives are
    0.
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
    """Which queries to show: those in `names`, else the `count` hardest, else `count` of the worst, middle and best."""

    count: int = 12
    names: tuple[str, ...] = ()
    hardest: bool = False

    def select(self, results: QueryResults, queries: Sequence[str]) -> Chosen:
        """Return the chosen ones of a test's `queries` (Q,). Raises UserError for a name that is not among them."""
        if self.names:
            index_of = {name: index for index, name in enumerate(queries)}
            return [(_index(name, index_of), NAMED) for name in dict.fromkeys(self.names)]
        if self.hardest:
            return [(int(index), HARDEST) for index in _by_precision(results)[: self.count]]
        return choose_queries(results, self.count)


def choose_queries(results: QueryResults, count: int) -> Chosen:
    """Return `count` queries that have a match, or all, with their group: lowest, median and highest AP, in this order.

    A fixed shuffle orders equal precisions, so that the queries shown are not all of one vehicle.
    """
    order = _by_precision(results)
    count = min(count, len(order))
    worst, best = (count + 2) // 3, (count + 1) // 3
    middle = count - worst - best
    start = max(worst, min((len(order) - middle) // 2, len(order) - best - middle))
    chosen = [*order[:worst], *order[start : start + middle], *order[len(order) - best :]]
    groups = [WORST] * worst + [MIDDLE] * middle + [BEST] * best
    return [(int(index), group) for index, group in zip(chosen, groups, strict=True)]


def ranked_lists(
    features: Features, dataset: Dataset, protocol: Protocol, choice: Choice, *, top_k: int
) -> list[RankedList]:
    """Return the chosen queries' lists in the protocol's first trial, each with its first `top_k` images.

    If the protocol ranks tracks, a list shows the best image of each. Raises UserError if an image has no feature, no
    query has a match, or a name is not a query.
    """
    trial, table = protocol.trials[0], dataset.table
    labels = labelled_trials(table, protocol)[0]
    queries = table["name"].iloc[trial.query].tolist()
    query, gallery = features.of(queries), features.of(table["name"].iloc[trial.gallery])
    results = rank_queries(cosine_scores(query, gallery), labels)
    chosen = choice.select(results, queries)
    if not chosen:
        raise UserError(f"no query of {protocol.split} ({len(queries)} queries) has a match; there is no list to show")
    indices = np.array([index for index, _ in chosen])
    best, scores = top_matches(query[indices], gallery, replace(labels, query=labels.query.take(indices)), k=top_k)
    lists = []
    for (index, group), columns, values in zip(chosen, best, scores, strict=True):
        row = int(trial.query[index])
        shown = zip(trial.gallery[columns[columns >= 0]].tolist(), values.tolist(), strict=False)
        own = _ranked_image(table, row, row, 1.0)
        lists.append(
            RankedList(
                group=group,
                query=own.name,
                vehicle=own.vehicle,
                camera=own.camera,
                images=tuple(_ranked_image(table, row, other, score) for other, score in shown),
                average_precision=float(results.average_precision[index]),
                first_hit_rank=int(results.first_hit_rank[index]),
                positives=int(results.positives[index]),
            )
        )
    return lists


def top_matches(
    query: Matrix, gallery: Matrix, trial: LabelledTrial, *, k: int, scorer: Scorer = cosine_scores
) -> tuple[Numbers, Matrix]:
    """Return the best k gallery rows of each query (Q, k), junk left out, and their scores (Q, k) by `scorer`.

    If fewer than k images remain, the row is -1 and the score -inf. Exact ties put wrong images first, then the earlier
    row. Of tracks the best k are returned, each as the row of its best image.
    """
    best = np.full((len(query), k), -1, dtype=np.int64)
    best_scores = np.full((len(query), k), -np.inf, dtype=np.float32)
    tracks = trial.tracks
    for index, (images, match, junk) in enumerate(_judged_rows(scorer(query, gallery), trial)):
        scores = images if tracks is None else np.maximum.reduceat(images, tracks)
        order = np.lexsort((match, -scores))
        order = order[~junk[order]][:k]
        best[index, : len(order)] = order if tracks is None else _best_images(images, tracks, order)
        best_scores[index, : len(order)] = scores[order]
    return best, best_scores


def best_true_and_wrong(query: Matrix, gallery: Matrix, trial: LabelledTrial) -> tuple[Numbers, Numbers]:
    """Return the gallery rows of each query's best true match and best wrong image, (Q,) each, -1 for none.

    Junk is left out; of equal scores it is the earlier row, and of a track its best image.
    """
    tracks, found = trial.tracks, []
    for images, match, junk in _judged_rows(cosine_scores(query, gallery), trial):
        scores = images if tracks is None else np.maximum.reduceat(images, tracks)
        rows = np.array([np.where(which & ~junk, scores, -np.inf).argmax() for which in (match, ~match)])
        some = [bool((which & ~junk).any()) for which in (match, ~match)]
        found.append(np.where(some, rows if tracks is None else _best_images(images, tracks, rows), -1))
    both = np.array(found, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _judged_rows(blocks: Iterable[Tensor], trial: LabelledTrial) -> Iterator[tuple[Matrix, Mask, Mask]]:
    """Yield for each query the scores of all images (G,), and which images or tracks (R,) match, and are left out."""
    ranked = trial.ranked
    rows = (row for block in blocks for row in block.cpu().numpy())
    for index, images in enumerate(rows):
        match = ranked.vehicle == trial.query.vehicle[index]
        junk = match & trial.junk(index, np.arange(len(ranked)))
        if trial.cameras != "any":
            junk |= trial.left_out(np.array([index]))[0]
        yield images, match, junk


def _best_images(scores: Matrix, tracks: Numbers, chosen: Numbers) -> Numbers:
    """Return the row of the best image of each chosen track (M,), by the scores of the images (G,)."""
    ends = np.append(tracks[1:], len(scores))
    rows = [first + scores[first:end].argmax() for first, end in zip(tracks[chosen], ends[chosen], strict=True)]
    return np.array(rows, dtype=np.int64)


def _ranked_image(table: pd.DataFrame, query: int, row: int, score: float) -> RankedImage:
    vehicle = str(table["vehicle_id"].iat[row])
    return RankedImage(
        name=str(table["name"].iat[row]),
        vehicle=vehicle,
        camera=int(table["camera_id"].to_numpy(np.int64)[row]),
        score=score,
        right=vehicle == str(table["vehicle_id"].iat[query]),
    )


def _index(name: str, index_of: dict[str, int]) -> int:
    if name not in index_of:
        near = difflib.get_close_matches(name, index_of, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the first of {len(index_of)} is {next(iter(index_of), None)}"
        raise UserError(f"{name}: not a query of this test; {hint}")
    return index_of[name]


def _by_precision(results: QueryResults) -> Numbers:
    """Return the queries that have a match, lowest average precision first."""
    shuffle = np.random.default_rng(0).permutation(len(results.positives))
    order = np.lexsort((shuffle, results.average_precision))
    return np.asarray(order[results.valid[order]])
