"""Counting ranks against a brute-force walk through fully sorted lists, and what must not make a score look good."""

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from helpers.naive.ranking import Pair, brute_force, random_pair, unit, with_cameras
from reid.retrieval.ranking import Labels, QueryResults, full_precision, queries_at_once, score_rows


def assert_same(first: QueryResults, second: QueryResults) -> None:
    for one, other in zip(astuple(first), astuple(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("junk", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("levels", [0, 5, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force_with_ties_junk_and_tracks(seed: int, levels: int, tracks: bool, junk: bool) -> None:
    pair = random_pair(seed, levels=levels, tracks=tracks)
    assert_same(pair.rank(junk=junk), brute_force(pair, junk=junk))


@pytest.mark.parametrize("seed", range(60))
def test_equals_brute_force_on_small_cases_of_every_kind(seed: int) -> None:
    """Few images, so that queries without a match, galleries of one image and vehicles that are all junk come up."""
    random = np.random.default_rng(seed)
    queries, gallery, levels = (int(random.integers(low, high)) for low, high in ((1, 6), (1, 12), (0, 4)))
    pair = random_pair(seed, levels=levels, queries=queries, gallery=gallery, tracks=bool(seed % 2))
    few = random.integers(1, 4)
    sides = [Labels(side.vehicle % few, side.camera % 2) for side in (pair.query_labels, pair.gallery_labels)]
    pair = replace(pair, query_labels=sides[0], gallery_labels=sides[1])
    assert_same(pair.rank(chunk=2), brute_force(pair, junk=True))


@pytest.mark.parametrize("levels", [0, 9])
@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_gallery_and_queries_and_the_chunks_do_not_matter(seed: int, levels: int) -> None:
    pair = random_pair(seed, levels=levels, queries=40, gallery=700)
    random = np.random.default_rng(seed)
    order, asked = random.permutation(700), random.permutation(40)
    shuffled = replace(pair, gallery=pair.gallery[order], gallery_labels=pair.gallery_labels.take(order))
    for other in (pair.rank(chunk=1), pair.rank(chunk=1000), shuffled.rank()):
        assert_same(pair.rank(), other)
    turned = replace(pair, query=pair.query[asked], query_labels=pair.query_labels.take(asked)).rank()
    assert_same(turned, QueryResults(*(values[asked] for values in astuple(pair.rank()))))


@pytest.mark.parametrize("tracks", [True, False])
def test_rows_in_any_order_give_what_the_queries_give(tracks: bool) -> None:
    pair = random_pair(2, levels=6, tracks=tracks)
    rows = list(score_rows(pair.query, pair.gallery, chunk=5))
    assert [number for number, _ in rows] == list(range(23))
    np.testing.assert_allclose(np.stack([row for _, row in rows]), pair.query @ pair.gallery.T, atol=1e-6)
    assert_same(pair.rank_rows(reversed(rows)), pair.rank())


def test_rows_of_another_scale_rank_alike() -> None:
    pair = random_pair(2)
    scaled = ((number, np.float32(300) * (row - 2)) for number, row in score_rows(pair.query, pair.gallery, chunk=5))
    assert_same(pair.rank_rows(scaled), pair.rank())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(value: float) -> None:
    pair = random_pair(2)
    rows = dict(score_rows(pair.query, pair.gallery, chunk=5))
    rows[3][80] = value
    with pytest.raises(UserError, match="score of query 3 is not finite"):
        pair.rank_rows(rows.items())


def test_rows_and_labels_that_do_not_fit_are_refused() -> None:
    pair = random_pair(2)
    rows = list(score_rows(pair.query, pair.gallery, chunk=5))
    with pytest.raises(ValueError, match="scores of 22 queries, labels of 23"):
        pair.rank_rows(rows[1:])
    with pytest.raises(ValueError, match="80 scores of query 0, labels of 90 images"):
        pair.rank_rows((number, row[:80]) for number, row in score_rows(pair.query, pair.gallery, chunk=5))
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        Labels(np.zeros(3, np.int64), np.zeros(4, np.int64))


def test_a_track_is_as_good_as_its_best_image() -> None:
    corners = np.eye(3, dtype=np.float32)
    query, near = corners[:1], unit(np.array([[0.9, 0.1, 0]]))
    # track 0 is wrong and near on average, track 1 is right by one image of three
    gallery = np.concatenate([near.repeat(2, axis=0), corners[1:], corners[:1]])
    labels = Labels(np.array([8, 8, 7, 7, 7]), np.array([2, 2, 2, 2, 2]))
    pair = Pair(query, gallery, Labels(np.array([7]), np.array([1])), labels, np.array([0, 2]))
    assert (pair.rank().first_hit_rank.tolist(), pair.rank().positives.tolist()) == ([1], [1])


@pytest.mark.parametrize("tracks", [[], [1, 5], [0, 5, 5], [0, 7, 3], [0, 90]])
def test_tracks_that_do_not_divide_the_gallery_are_refused(tracks: list[int]) -> None:
    with pytest.raises(ValueError, match="tracks begin at row 0 and grow, all below 90"):
        replace(random_pair(2), tracks=np.array(tracks, np.int64)).rank()


def test_queries_without_a_match_are_marked_and_do_not_stop_the_rest() -> None:
    pair = random_pair(5)
    vehicle = np.where(np.arange(23) < 4, 99, pair.query_labels.vehicle)
    results = replace(pair, query_labels=Labels(vehicle, pair.query_labels.camera)).rank(junk=False)
    assert results.positives[:4].tolist() == results.first_hit_rank[:4].tolist() == [0, 0, 0, 0]
    assert results.valid[4:].all() and not results.valid[:4].any()


def test_matches_that_are_all_junk_are_no_matches() -> None:
    one_camera = with_cameras(random_pair(6), 0)
    assert not one_camera.rank(junk=True).valid.any()
    assert one_camera.rank(junk=False).valid.all()


def test_cameras_that_are_not_known_make_no_junk() -> None:
    unknown = with_cameras(random_pair(6), -1)
    ranked, plain = unknown.rank(junk=True), unknown.rank(junk=False)
    assert ranked.valid.all()
    assert (ranked.average_precision == plain.average_precision).all()


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("channels", [16, 333, 512, 1024, 2048])
def test_constant_features_get_the_worst_rank_wherever_the_matches_lie(channels: int, chunk: int) -> None:
    random = np.random.default_rng(channels)
    constant = unit(random.standard_normal((1, channels)))
    pair = random_pair(7, gallery=2003)
    first = Labels(np.sort(pair.gallery_labels.vehicle), pair.gallery_labels.camera)
    collapsed = replace(
        pair, query=constant.repeat(23, axis=0), gallery=constant.repeat(2003, axis=0), gallery_labels=first
    )
    results = collapsed.rank(junk=False, chunk=chunk)
    wrong = 2003 - results.positives
    np.testing.assert_array_equal(results.first_hit_rank, wrong + 1)
    assert results.average_precision.max() < 0.2


def test_perfect_features_score_one() -> None:
    pair = random_pair(8)
    corners = np.eye(12, dtype=np.float32)
    known = replace(pair, query=corners[pair.query_labels.vehicle], gallery=corners[pair.gallery_labels.vehicle])
    results = known.rank(junk=False)
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


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_products_are_of_full_precision_whatever_the_process_has_chosen(chosen: str) -> None:
    pair = random_pair(11, queries=200, gallery=900)
    expected = [row for _, row in score_rows(pair.query, pair.gallery, chunk=100)]
    torch.set_float32_matmul_precision(chosen)
    try:
        with full_precision():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        rows = [row for _, row in score_rows(pair.query, pair.gallery, chunk=100)]
        assert torch.get_float32_matmul_precision() == chosen
    finally:
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(np.stack(rows), np.stack(expected))


def test_scores_of_a_chunk_are_bounded_in_memory() -> None:
    assert [queries_at_once(gallery) for gallery in (0, 11_579, 128_517, 10**6, 10**9)] == [256, 256, 256, 33, 1]
