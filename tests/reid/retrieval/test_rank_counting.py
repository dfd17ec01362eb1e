"""Ranks by counting: few or many rivals, ties, scores of any size, and the selection that a GPU makes."""

import doctest

import numpy as np
import pytest
import torch

from reid.retrieval import rank_counting
from reid.retrieval.rank_counting import TIE, block_ranks, match_ranks, reaching


def counted(matches: np.ndarray, wrong: np.ndarray) -> list[int]:
    """The definition, match by match: the wrong that score as high, and the matches before it."""
    above = [int((wrong >= match).sum()) for match in sorted(matches, reverse=True)]
    return [1 + place + count for place, count in enumerate(above)]


def test_doctests() -> None:
    assert doctest.testmod(rank_counting).failed == 0


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 3, 60])
def test_whether_few_or_many_matches_have_few_or_many_rivals(count: int, share: float) -> None:
    random = np.random.default_rng(count)
    wrong = random.permutation(400).astype(np.float32) / 1000
    lowest = float(np.quantile(wrong, 1 - share)) + (0.0005 if share == 0 else -0.0005)
    others = random.choice(np.arange(lowest + 0.001, 0.6, 0.001), count - 1)
    matches = np.array([lowest, *others], dtype=np.float32)
    assert match_ranks(matches, wrong).tolist() == counted(matches, wrong)


@pytest.mark.parametrize("count", [1, 5])
def test_with_nothing_wrong_the_matches_are_first(count: int) -> None:
    assert match_ranks(np.ones(count, np.float32), np.zeros(0, np.float32)).tolist() == list(range(1, count + 1))


@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0, 1e6])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_hair_below_is_a_tie_and_more_is_not_whatever_the_size_of_scores(size: float, sign: int) -> None:
    match = np.array([sign * size], dtype=np.float32)
    hair = TIE * max(1, size)
    wrong = np.array([match[0] - 0.5 * hair, match[0] - 3 * hair], dtype=np.float32)
    assert match_ranks(match, wrong).tolist() == [2]


def test_what_a_gpu_would_send_gives_the_ranks_of_the_whole_block() -> None:
    random = np.random.default_rng(4)
    scores = random.standard_normal((9, 300)).astype(np.float32)
    scores[3] = 0.25  # ties everywhere
    matches = [random.choice(scores[row], count) for row, count in enumerate((1, 4, 300, 2, 0, 7, 1, 0, 3))]
    sent = reaching(torch.from_numpy(scores), matches)
    assert [match_ranks(found, wrong).tolist() for found, wrong in zip(matches, sent, strict=True)] == [
        match_ranks(found, wrong).tolist() for found, wrong in zip(matches, scores, strict=True)
    ]
    assert [len(wrong) for wrong in sent] == [
        int((row >= found.min() - TIE).sum()) if len(found) else 0 for row, found in zip(scores, matches, strict=True)
    ]


def test_junk_of_a_block_is_neither_match_nor_wrong() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
    rows, columns = np.array([0, 0, 0, 2]), np.array([0, 2, 4, 4])
    junk = np.array([True, False, False, True])
    first, second, third = block_ranks(scores, rows, columns, junk)
    assert (first.tolist(), second.tolist(), third.tolist()) == ([2, 4], [], [])
