"""Metrics of one ranked list against naive loops and the worked examples of the protocols."""

import doctest

import numpy as np
import pytest

from reid.retrieval import metrics
from reid.retrieval.metrics import (
    average_precision,
    cumulative_match,
    inverse_negative_penalty,
    ranks_of_hits,
    reciprocal_rank,
)


def naive_average_precision(hits: list[int]) -> float:
    found, total = 0, 0.0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            total += found / rank
    return total / found


def naive_trapezoid(hits: list[int]) -> float:
    """The area under precision over recall, walked image by image, as VeRi's MATLAB does."""
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall, precision = found / sum(hits), found / rank
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def test_doctests() -> None:
    assert doctest.testmod(metrics).failed == 0


@pytest.mark.parametrize(
    ("hits", "step", "trapezoid"), [([0, 1, 0, 1], 0.5, 1 / 3), ([0, 0, 0, 1], 0.25, 0.125), ([1, 1, 0], 1.0, 1.0)]
)
def test_precision_of_worked_lists(hits: list[int], step: float, trapezoid: float) -> None:
    ranks = ranks_of_hits(np.array(hits, dtype=bool))
    assert average_precision(ranks) == pytest.approx(step)
    assert average_precision(ranks, "trapezoid") == pytest.approx(trapezoid)


@pytest.mark.parametrize("seed", range(20))
def test_precision_equals_the_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    hits = (random.random(30) < random.uniform(0.05, 0.9)).astype(int)
    hits[random.integers(30)] = 1
    ranks = ranks_of_hits(hits.astype(bool))
    assert average_precision(ranks) == pytest.approx(naive_average_precision(hits.tolist()))
    assert average_precision(ranks, "trapezoid") == pytest.approx(naive_trapezoid(hits.tolist()))


@pytest.mark.parametrize("rank", [1, 2, 17])
def test_with_one_match_precision_penalty_and_reciprocal_rank_agree(rank: int) -> None:
    ranks = np.array([rank])
    assert average_precision(ranks) == reciprocal_rank(ranks) == inverse_negative_penalty(ranks) == 1 / rank


def test_penalty_tells_how_far_one_must_read() -> None:
    assert inverse_negative_penalty(np.array([1, 2, 3])) == 1
    assert inverse_negative_penalty(np.array([1, 2, 30])) == pytest.approx(0.1)


def test_cumulative_match_grows_with_k() -> None:
    first = np.array([1, 3, 5, 6, 40])
    assert [cumulative_match(first, k) for k in (1, 5, 10, 100)] == [0.2, 0.6, 0.8, 1.0]
