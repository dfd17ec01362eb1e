"""Retrieval metrics: from the ranks of a query's matches to the mean scores of a test.

A ranked list is represented by the 1-based ranks of its matches, ascending: enough for every metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.datasets.protocols import Protocol

Ranks = NDArray[np.int64]
PrecisionForm = Literal["step", "trapezoid"]

METRIC_NAMES = ("mAP", "mAP10", "cmc1", "cmc5", "cmc10", "mINP")
SHORT_LIST = 10  # images of a list that mAP10 looks at


def average_precision(ranks: Ranks, form: PrecisionForm = "step") -> float:
    """Return the average precision of a list with matches at `ranks` (P,), P > 0.

    `step` is the mean precision at the matches, as in published results. `trapezoid` is VeRi-776's MATLAB form: at each
    match the mean of the precision there and one rank above it, where the precision above rank 1 is 1.

    >>> average_precision(np.array([1, 3]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    >>> average_precision(np.array([2, 4]), "trapezoid")  # ((0 + 1/2) / 2 + (1/3 + 2/4) / 2) / 2
    0.3333333333333333
    """
    matches = np.arange(1, len(ranks) + 1)
    precision = matches / ranks
    if form == "trapezoid":
        above = np.where(ranks == 1, 1.0, (matches - 1) / np.maximum(ranks - 1, 1))
        precision = (precision + above) / 2
    return float(precision.sum() / len(ranks))


def average_precision_at(ranks: Ranks, k: int) -> float:
    """Return the average precision of the first k images of a list with matches at `ranks` (P,), P > 0.

    It is the sum of the precision at the matches among them, divided by min(P, k): 1 if no image before the last match,
    or among the k, is wrong.

    >>> average_precision_at(np.array([1, 3, 12]), 10)  # (1/1 + 2/3) / 3
    0.5555555555555555
    >>> average_precision_at(np.array([1, 2, 3]), 2)
    1.0
    """
    within = ranks[ranks <= k]
    return float((np.arange(1, len(within) + 1) / within).sum() / min(len(ranks), k))


def inverse_negative_penalty(ranks: Ranks) -> float:
    """Return the number of matches divided by the rank of the last one, whose mean over queries is mINP.

    >>> inverse_negative_penalty(np.array([1, 4]))
    0.5
    """
    return float(len(ranks) / ranks[-1])


def cumulative_match(first_match_rank: NDArray[Any], k: int) -> float:
    """Return CMC@k: the share of queries whose first match is at rank k or above; `first_match_rank` (Q,) from 1.

    >>> cumulative_match(np.array([1, 2, 7, 1]), 5)
    0.75
    """
    return float((first_match_rank <= k).mean())


@dataclass(frozen=True)
class QueryResults:
    """Results of Q queries; all arrays are (Q,).

    first_hit_rank, from 1; average_precision, and that of the first ten images; inverse_negative_penalty; positives,
    the number of valid matches in the gallery. A query without a valid match has 0 everywhere and is left out of every
    mean.
    """

    first_hit_rank: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    average_precision_at_10: NDArray[np.float64]
    inverse_negative_penalty: NDArray[np.float64]
    positives: NDArray[np.int64]

    @classmethod
    def from_ranks(cls, lists: Sequence[Ranks], form: PrecisionForm) -> "QueryResults":
        """Return the results of queries from the ranks of their matches, one array per query."""
        return cls(
            np.array([ranks[0] if len(ranks) else 0 for ranks in lists], dtype=np.int64),
            np.array([average_precision(ranks, form) if len(ranks) else 0.0 for ranks in lists]),
            np.array([average_precision_at(ranks, SHORT_LIST) if len(ranks) else 0.0 for ranks in lists]),
            np.array([inverse_negative_penalty(ranks) if len(ranks) else 0.0 for ranks in lists]),
            np.array([len(ranks) for ranks in lists], dtype=np.int64),
        )

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which queries have a match, (Q,)."""
        return self.positives > 0

    def means(self) -> dict[str, float]:
        """Return the `METRIC_NAMES`, means over the queries that have a match. Raises UserError if none has."""
        valid = self.valid
        if not valid.any():
            raise UserError(f"none of the {len(valid)} queries has a match in the gallery; nothing can be scored")
        first = self.first_hit_rank[valid]
        return {
            "mAP": float(self.average_precision[valid].mean()),
            "mAP10": float(self.average_precision_at_10[valid].mean()),
            **{f"cmc{k}": cumulative_match(first, k) for k in (1, 5, 10)},
            "mINP": float(self.inverse_negative_penalty[valid].mean()),
        }


@dataclass(frozen=True)
class Scores:
    """The metrics of one test, in [0, 1]: means over its queries that have a match, then over its trials.

    `deviation` is the standard deviation over the trials (n - 1), None for a single trial. `queries` counts all queries
    of a trial, `queries_without_match` those that the means leave out, `gallery` the images, or tracks, that are
    ranked. `seed` drew the trials. `mAP10` is mAP over the first 10 images of each list, None in files of versions
    before 0.5.
    """

    split: str
    mAP: float
    cmc1: float
    cmc5: float
    cmc10: float
    mINP: float
    deviation: Mapping[str, float] | None
    queries: int
    queries_without_match: int
    gallery: int
    trials: int
    seed: int | None
    precision: PrecisionForm = "step"
    mAP10: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values; fractions, not percent."""
        return asdict(self)


def mean_scores(protocol: Protocol, results: Sequence[QueryResults], form: PrecisionForm) -> Scores:
    """Return the scores of a test from the results of each of its trials; `form` is that of the average precision.

    Raises UserError if no query of a trial has a match.
    """
    by_trial = [result.means() for result in results]
    first = protocol.trials[0]
    return Scores(
        split=protocol.split,
        **{name: float(np.mean([trial[name] for trial in by_trial])) for name in METRIC_NAMES},
        deviation=_deviation(by_trial) if len(by_trial) > 1 else None,
        queries=len(first.query),
        queries_without_match=int(max((~result.valid).sum() for result in results)),
        gallery=len(first.gallery if first.tracks is None else first.tracks),
        trials=len(results),
        seed=protocol.seed,
        precision=form,
    )


def _deviation(by_trial: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.std([trial[name] for trial in by_trial], ddof=1)) for name in METRIC_NAMES}
