"""Counting ranks against a brute-force walk through fully sorted lists, and what must not make a score look good."""

import doctest
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.errors import UserError
from reid import ranking
from reid.ranking import QueryResults, match_ranks, rank_queries, top_matches


@dataclass(frozen=True)
class Pair:
    """A query set and a gallery, in the order of `rank_queries`."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_vehicle: NDArray[np.int64]
    gallery_vehicle: NDArray[np.int64]
    query_camera: NDArray[np.int64]
    gallery_camera: NDArray[np.int64]

    def rank(self, *, junk: bool = True, chunk: int = 7, **options: Any) -> QueryResults:
        return rank_queries(*self.arrays(), same_camera_is_junk=junk, chunk=chunk, **options)

    def arrays(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def unit(matrix: NDArray[Any]) -> NDArray[np.float32]:
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def random_pair(seed: int, *, levels: int = 0, queries: int = 23, gallery: int = 90) -> Pair:
    """Random features; with `levels`, every feature is one of that many, so that ties are everywhere."""
    random = np.random.default_rng(seed)
    vectors = unit(random.standard_normal((levels or queries + gallery, 16)))
    chosen = random.integers(0, levels, queries + gallery) if levels else np.arange(queries + gallery)
    features = vectors[chosen]
    vehicle = random.integers(0, 12, queries + gallery)
    camera = random.integers(0, 3, queries + gallery)
    cut = slice(None, queries), slice(queries, None)
    return Pair(*(array[part] for array in (features, vehicle, camera) for part in cut))


def brute_force(pair: Pair, *, junk: bool) -> QueryResults:
    """Sort every list by Python, a wrong image before a match where scores tie, and walk down it."""
    rows = []
    for feature, vehicle, camera in zip(pair.query, pair.query_vehicle, pair.query_camera, strict=True):
        ranked = []
        for other, other_vehicle, other_camera in zip(
            pair.gallery, pair.gallery_vehicle, pair.gallery_camera, strict=True
        ):
            match = vehicle == other_vehicle
            if not (junk and match and camera == other_camera):
                score = sum(float(a) * float(b) for a, b in zip(feature, other, strict=True))
                ranked.append((-round(score, 6), match))
        hits = [rank for rank, (_, match) in enumerate(sorted(ranked), start=1) if match]
        precision = sum(number / rank for number, rank in enumerate(hits, start=1)) / max(1, len(hits))
        rows.append((hits[0], precision, len(hits) / hits[-1], len(hits)) if hits else (0, 0.0, 0.0, 0))
    return QueryResults(*(np.array(column) for column in zip(*rows, strict=True)))


def assert_same(first: QueryResults, second: QueryResults) -> None:
    for one, other in zip(astuple(first), astuple(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_doctests() -> None:
    assert doctest.testmod(ranking).failed == 0


@pytest.mark.parametrize("junk", [True, False])
@pytest.mark.parametrize("levels", [0, 5, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force_with_ties_and_junk(seed: int, levels: int, junk: bool) -> None:
    pair = random_pair(seed, levels=levels)
    assert_same(pair.rank(junk=junk), brute_force(pair, junk=junk))


def test_chunks_and_the_order_of_the_gallery_do_not_matter() -> None:
    pair = random_pair(3, levels=9)
    order = np.random.default_rng(0).permutation(len(pair.gallery))
    shuffled = replace(
        pair,
        gallery=pair.gallery[order],
        gallery_vehicle=pair.gallery_vehicle[order],
        gallery_camera=pair.gallery_camera[order],
    )
    for other in (pair.rank(chunk=1), pair.rank(chunk=1000), shuffled.rank()):
        assert_same(pair.rank(), other)


def test_queries_without_a_match_are_marked_and_do_not_stop_the_rest() -> None:
    pair = random_pair(5)
    stranger = replace(pair, query_vehicle=np.where(np.arange(23) < 4, 99, pair.query_vehicle))
    results = stranger.rank(junk=False)
    assert results.positives[:4].tolist() == results.first_hit_rank[:4].tolist() == [0, 0, 0, 0]
    assert results.valid[4:].all() and not results.valid[:4].any()


def test_matches_that_are_all_junk_are_no_matches() -> None:
    pair = random_pair(6)
    one_camera = replace(pair, query_camera=np.zeros(23, np.int64), gallery_camera=np.zeros(90, np.int64))
    assert not one_camera.rank(junk=True).valid.any()
    assert one_camera.rank(junk=False).valid.all()


def test_cameras_that_are_not_known_make_no_junk() -> None:
    pair = random_pair(6)
    unknown = replace(pair, query_camera=np.full(23, -1), gallery_camera=np.full(90, -1))
    ranked, plain = unknown.rank(junk=True), unknown.rank(junk=False)
    assert ranked.valid.all()
    assert (ranked.average_precision == plain.average_precision).all()


@pytest.mark.parametrize("channels", [16, 333, 512])
def test_constant_features_get_the_worst_rank_wherever_the_matches_lie(channels: int) -> None:
    random = np.random.default_rng(channels)
    constant = unit(random.standard_normal((1, channels)))
    pair = random_pair(7, gallery=1001)
    first = np.sort(pair.gallery_vehicle)
    collapsed = replace(
        pair, query=constant.repeat(23, axis=0), gallery=constant.repeat(1001, axis=0), gallery_vehicle=first
    )
    results = collapsed.rank(junk=False)
    wrong = 1001 - results.positives
    np.testing.assert_array_equal(results.first_hit_rank, wrong + 1)
    assert results.average_precision.max() < 0.2


def test_perfect_features_score_one() -> None:
    pair = random_pair(8)
    corners = np.eye(12, dtype=np.float32)
    results = replace(pair, query=corners[pair.query_vehicle], gallery=corners[pair.gallery_vehicle]).rank(junk=False)
    assert set(results.average_precision) == set(results.inverse_negative_penalty) == {1.0}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_features_that_are_not_finite_are_refused(side: str, value: float) -> None:
    pair = random_pair(9)
    spoilt = getattr(pair, side).copy()
    spoilt[4, 2] = value
    with pytest.raises(UserError, match=f"{side} row 4 is not finite"):
        replace(pair, **{side: spoilt}).rank()


def test_trapezoid_is_never_above_step() -> None:
    pair = random_pair(10)
    step, trapezoid = pair.rank(), pair.rank(form="trapezoid")
    assert (trapezoid.average_precision <= step.average_precision + 1e-12).all()
    assert (trapezoid.average_precision < step.average_precision).any()


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_match_ranks_whether_few_or_many_wrong_images_score_high(share: float) -> None:
    random = np.random.default_rng(1)
    wrong = random.permutation(400).astype(np.float32) / 1000
    lowest = float(np.quantile(wrong, 1 - share)) - 0.0005
    matches = np.array([lowest, 0.9, 0.3985], dtype=np.float32)
    expected = sorted(int((wrong >= match).sum()) + 1 + int((matches > match).sum()) for match in matches)
    assert match_ranks(matches, wrong).tolist() == expected


def test_top_matches_are_the_head_of_the_sorted_list_without_junk() -> None:
    pair = random_pair(11)
    rows, scores = top_matches(*pair.arrays(), same_camera_is_junk=True, k=10)
    results = pair.rank()
    for index in range(23):
        match = pair.gallery_vehicle == pair.query_vehicle[index]
        valid = ~(match & (pair.gallery_camera == pair.query_camera[index]))
        everything = pair.gallery @ pair.query[index]
        expected = sorted(np.flatnonzero(valid), key=lambda row: -everything[row])[:10]
        assert rows[index].tolist() == expected
        np.testing.assert_allclose(scores[index], everything[rows[index]], rtol=1e-5)
        if 0 < results.first_hit_rank[index] <= 10:
            assert match[rows[index][results.first_hit_rank[index] - 1]]


def test_top_matches_of_a_short_gallery_are_filled_up() -> None:
    pair = random_pair(12, gallery=3)
    rows, scores = top_matches(*pair.arrays(), same_camera_is_junk=False, k=5)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    assert (np.sort(rows[:, :3], axis=1) == [0, 1, 2]).all()
