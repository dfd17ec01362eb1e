"""Retrieval metrics of one ranked list, from the ranks of its correct matches; means over queries come last.

A list is told by the 1-based ranks of its matches, ascending: enough for every metric, and a long list need not exist.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]
PrecisionForm = Literal["step", "trapezoid"]


def ranks_of_hits(hits: NDArray[np.bool_]) -> Ranks:
    """Return the ranks, from 1, at which a list (G,) has a match.

    >>> ranks_of_hits(np.array([True, False, True]))
    array([1, 3])
    """
    return np.flatnonzero(hits) + 1


def average_precision(ranks: Ranks, form: PrecisionForm = "step") -> float:
    """Return the average precision of a list with matches at `ranks` (P,), P > 0.

    `step` is the mean precision at the matches, as published numbers use. `trapezoid` is VeRi-776's MATLAB form: at
    each match the mean of the precision there and one rank above it, where the precision above rank 1 is 1.

    >>> average_precision(np.array([1, 3]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    >>> average_precision(np.array([2, 4]), "trapezoid")  # ((0 + 1/2) / 2 + (1/3 + 2/4) / 2) / 2
    0.3333333333333333
    """
    found = np.arange(1, len(ranks) + 1)
    precision = found / ranks
    if form == "trapezoid":
        above = np.where(ranks == 1, 1.0, (found - 1) / np.maximum(ranks - 1, 1))
        precision = (precision + above) / 2
    return float(precision.sum() / len(ranks))


def reciprocal_rank(ranks: Ranks) -> float:
    """Return 1 / the rank of the first match; the average precision of a list with one match.

    >>> reciprocal_rank(np.array([4, 9]))
    0.25
    """
    return float(1.0 / ranks[0])


def inverse_negative_penalty(ranks: Ranks) -> float:
    """Return matches / rank of the last match: what share of the list read until all are found is right (mINP).

    >>> inverse_negative_penalty(np.array([1, 4]))
    0.5
    """
    return float(len(ranks) / ranks[-1])


def cumulative_match(first_hit_rank: NDArray[Any], k: int) -> float:
    """Return CMC@k: the share of queries whose first match is at rank k or above; `first_hit_rank` (Q,) from 1.

    >>> cumulative_match(np.array([1, 2, 7, 1]), 5)
    0.75
    """
    return float((first_hit_rank <= k).mean())
