"""Metrics of one ranked list against naive loops and worked examples."""

import numpy as np
import pytest

from reid.retrieval.metrics import average_precision, average_precision_at, inverse_negative_penalty


def naive_average_precision(hits: list[int]) -> float:
    found, total = 0, 0.0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            total += found / rank
    return total / found


def naive_trapezoid(hits: list[int]) -> float:
    """The area under precision over recall, walked image by image, as in VeRi's MATLAB code."""
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall, precision = found / sum(hits), found / rank
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


@pytest.mark.parametrize(("ranks", "step", "trapezoid"), [([2, 4], 0.5, 1 / 3), ([4], 0.25, 0.125), ([1, 2], 1.0, 1.0)])
def test_average_precision_of_worked_lists(ranks: list[int], step: float, trapezoid: float) -> None:
    assert average_precision(np.array(ranks)) == pytest.approx(step)
    assert average_precision(np.array(ranks), "trapezoid") == pytest.approx(trapezoid)


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_equals_the_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    hits = (random.random(30) < random.uniform(0.05, 0.9)).astype(int)
    hits[random.integers(30)] = 1
    ranks = np.flatnonzero(hits) + 1
    assert average_precision(ranks) == pytest.approx(naive_average_precision(hits.tolist()))
    assert average_precision(ranks, "trapezoid") == pytest.approx(naive_trapezoid(hits.tolist()))


@pytest.mark.parametrize("rank", [1, 2, 17])
def test_a_single_match_has_precision_and_penalty_of_its_reciprocal_rank(rank: int) -> None:
    ranks = np.array([rank])
    assert average_precision(ranks) == inverse_negative_penalty(ranks) == 1 / rank


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [1, 5, 10, 40])
def test_average_precision_of_a_short_list_equals_a_loop(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    hits = (random.random(30) < random.uniform(0.05, 0.9)).astype(int)
    hits[random.integers(30)] = 1
    total, found = 0.0, 0
    for rank, hit in enumerate(hits[:k], start=1):
        found += hit
        total += hit * found / rank
    ranks = np.flatnonzero(hits) + 1
    assert average_precision_at(ranks, k) == pytest.approx(total / min(hits.sum(), k))
    if k == 40:
        assert average_precision_at(ranks, k) == pytest.approx(average_precision(ranks))
