"""Ranking: brute force by sorted lists, ties, junk, tracks, and the counting of ranks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from helpers.naive.ranking import Case, assert_same_results, brute_force, random_case, unit
from reid.retrieval.metrics import QueryResults
from reid.retrieval.ranking import (
    TIE,
    LabelledTrial,
    Labels,
    block_ranks,
    cosine_scores,
    full_precision,
    match_ranks,
    queries_at_once,
    rank_queries,
    rivals,
)


@pytest.mark.parametrize("junk", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("levels", [0, 5, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force_with_ties_junk_and_tracks(seed: int, levels: int, tracks: bool, junk: bool) -> None:
    case = random_case(seed, levels=levels, tracks=tracks).with_trial(same_camera_is_junk=junk)
    assert_same_results(case.rank(), brute_force(case))


@pytest.mark.parametrize("seed", range(1, 40, 2))
def test_equals_brute_force_on_few_tracks(seed: int) -> None:
    """With few images some queries have no match, one gallery image or only junk."""
    random = np.random.default_rng(seed)
    queries, gallery, levels = (int(random.integers(low, high)) for low, high in ((1, 6), (1, 12), (0, 4)))
    case = random_case(seed, levels=levels, queries=queries, gallery=gallery, tracks=True)
    vehicles = random.integers(1, 4)
    sides = [Labels(side.vehicle % vehicles, side.camera % 2) for side in (case.trial.query, case.trial.gallery)]
    case = case.with_trial(query=sides[0], gallery=sides[1])
    assert_same_results(case.rank(chunk=2), brute_force(case))


@pytest.mark.parametrize("levels", [0, 9])
@pytest.mark.parametrize("seed", range(6))
def test_chunks_and_order_of_queries_do_not_matter(seed: int, levels: int) -> None:
    case = random_case(seed, levels=levels, queries=40, gallery=700)
    results = case.rank()
    for chunk in (1, 1000):
        assert_same_results(case.rank(chunk=chunk), results)
    order = np.random.default_rng(seed).permutation(40)
    shuffled = replace(case, query=case.query[order]).with_trial(query=case.trial.query.take(order)).rank()
    assert_same_results(shuffled, QueryResults(*(values[order] for values in vars(results).values())))


def test_scores_and_labels_of_different_sizes_are_refused() -> None:
    case = random_case(2)
    (scores,) = cosine_scores(case.query, case.gallery)
    with pytest.raises(ValueError, match="scores of 22 queries, labels of 23"):
        rank_queries([scores[1:].clone()], case.trial)
    with pytest.raises(ValueError, match="80 scores per query, labels of 90 images"):
        rank_queries([scores[:, :80]], case.trial)
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        Labels(np.zeros(3, np.int64), np.zeros(4, np.int64))


def test_a_track_scores_as_its_best_image() -> None:
    corners = np.eye(3, dtype=np.float32)
    query, near = corners[:1], unit(np.array([[0.9, 0.1, 0]]))
    # track 0 is wrong and near on average; track 1 is right, by one image of three
    gallery = np.concatenate([near.repeat(2, axis=0), corners[1:], corners[:1]])
    labels = Labels(np.array([8, 8, 7, 7, 7]), np.array([2, 2, 2, 2, 2]))
    trial = LabelledTrial(Labels(np.array([7]), np.array([1])), labels, True, np.array([0, 2]))
    results = Case(query, gallery, trial).rank()
    assert (results.first_hit_rank.tolist(), results.positives.tolist()) == ([1], [1])


@pytest.mark.parametrize("tracks", [[], [1, 5], [0, 5, 5], [0, 7, 3], [0, 90]])
def test_tracks_that_do_not_divide_the_gallery_are_refused(tracks: list[int]) -> None:
    with pytest.raises(ValueError, match="tracks must start at row 0 and increase, all below 90"):
        random_case(2).with_trial(tracks=np.array(tracks, np.int64))


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("channels", [16, 333, 512, 1024, 2048])
def test_constant_features_get_the_worst_rank(channels: int, chunk: int) -> None:
    random = np.random.default_rng(channels)
    constant = unit(random.standard_normal((1, channels)))
    case = random_case(7, gallery=2003)
    labels = Labels(np.sort(case.trial.gallery.vehicle), case.trial.gallery.camera)
    collapsed = Case(
        constant.repeat(23, axis=0),
        constant.repeat(2003, axis=0),
        replace(case.trial, gallery=labels, same_camera_is_junk=False),
    )
    results = collapsed.rank(chunk=chunk)
    np.testing.assert_array_equal(results.first_hit_rank, 2003 - results.positives + 1)
    assert results.average_precision.max() < 0.2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_features_that_are_not_finite_are_refused(side: str, value: float) -> None:
    case = random_case(9)
    features = getattr(case, side).copy()
    features[4, 2] = value
    with pytest.raises(UserError, match=f"{side} row 4 is not finite"):
        replace(case, **{side: features}).rank()


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_products_have_full_precision_whatever_the_process_has_chosen(chosen: str) -> None:
    case = random_case(11, queries=200, gallery=900)
    expected = torch.cat(list(cosine_scores(case.query, case.gallery)))
    torch.set_float32_matmul_precision(chosen)
    try:
        with full_precision():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        scores = torch.cat(list(cosine_scores(case.query, case.gallery)))
        assert torch.get_float32_matmul_precision() == chosen
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(scores, expected)


def test_queries_at_once_bound_the_memory_of_scores() -> None:
    assert [queries_at_once(gallery) for gallery in (0, 11_579, 128_517, 10**6, 10**9)] == [256, 256, 256, 33, 1]


def counted_ranks(matches: np.ndarray, wrong: np.ndarray) -> list[int]:
    """The definition, match by match: wrong images with at least its score, and the matches before it."""
    above = [int((wrong >= match).sum()) for match in sorted(matches, reverse=True)]
    return [1 + before + count for before, count in enumerate(above)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 3, 60])
def test_match_ranks_with_few_or_many_matches_and_rivals(count: int, share: float) -> None:
    random = np.random.default_rng(count)
    wrong = random.permutation(400).astype(np.float32) / 1000
    lowest = float(np.quantile(wrong, 1 - share)) + (0.0005 if share == 0 else -0.0005)
    others = random.choice(np.arange(lowest + 0.001, 0.6, 0.001), count - 1)
    matches = np.array([lowest, *others], dtype=np.float32)
    assert match_ranks(matches, wrong).tolist() == counted_ranks(matches, wrong)


@pytest.mark.parametrize("count", [1, 5])
def test_matches_rank_first_if_nothing_is_wrong(count: int) -> None:
    assert match_ranks(np.ones(count, np.float32), np.zeros(0, np.float32)).tolist() == list(range(1, count + 1))


@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0, 1e6])
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_within_the_tolerance_are_ties_at_any_magnitude(size: float, sign: int) -> None:
    match = np.array([sign * size], dtype=np.float32)
    tolerance = TIE * max(1, size)
    wrong = np.array([match[0] - 0.5 * tolerance, match[0] - 3 * tolerance], dtype=np.float32)
    assert match_ranks(match, wrong).tolist() == [2]


def test_rivals_give_the_ranks_of_the_whole_block() -> None:
    """What a GPU copies to the host is enough, and no more than the scores that reach the lowest match."""
    random = np.random.default_rng(4)
    scores = random.standard_normal((9, 300)).astype(np.float32)
    scores[3] = 0.25  # ties everywhere
    matches = [random.choice(scores[row], count) for row, count in enumerate((1, 4, 300, 2, 0, 7, 1, 0, 3))]
    copied = rivals(torch.from_numpy(scores), matches)
    for own, row, rest in zip(matches, scores, copied, strict=True):
        assert match_ranks(own, rest).tolist() == match_ranks(own, row).tolist()
        assert len(rest) == (int((row >= own.min() - TIE).sum()) if len(own) else 0)


def test_junk_in_a_block_is_neither_match_nor_wrong() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
    rows, columns = np.array([0, 0, 0, 2]), np.array([0, 2, 4, 4])
    junk = np.array([True, False, False, True])
    first, second, third = block_ranks(scores, rows, columns, junk)
    assert (first.tolist(), second.tolist(), third.tolist()) == ([2, 4], [], [])
