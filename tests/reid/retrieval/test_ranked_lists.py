"""The choice of queries, and the heads of their lists against full sorts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import fixed_split
from helpers.naive.ranking import random_case
from reid.features.file import Features
from reid.retrieval.metrics import QueryResults
from reid.retrieval.ranked_lists import (
    BEST,
    HARDEST,
    MIDDLE,
    NAMED,
    WORST,
    Choice,
    best_true_and_wrong,
    choose_queries,
    ranked_lists,
    top_matches,
)


def results_with(precision: list[float]) -> QueryResults:
    """Return results with these average precisions; 0 is a query without a match."""
    values = np.array(precision)
    valid = values > 0
    return QueryResults(valid.astype(np.int64), values, values, values, valid.astype(np.int64))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 30])
@pytest.mark.parametrize("queries", [1, 4, 12, 29])
def test_chosen_queries_are_worst_middle_and_best(count: int, queries: int) -> None:
    precision = np.random.default_rng(queries).permutation(np.arange(1, queries + 1) / queries)
    chosen = choose_queries(results_with(precision.tolist()), count)
    rows, groups = [row for row, _ in chosen], [group for _, group in chosen]
    assert len(set(rows)) == len(rows) == min(count, queries)
    assert groups == sorted(groups, key=[WORST, MIDDLE, BEST].index)
    shown = precision[rows]
    assert (np.diff(shown) > 0).all()
    assert shown[0] == precision.min()
    assert count == 1 or shown[-1] == precision.max()
    middle = [value for value, group in zip(shown, groups, strict=True) if group == MIDDLE]
    if middle and queries > 2 * count:
        assert middle[0] <= np.median(precision) <= middle[-1] or len(middle) == 1


def test_queries_without_a_match_are_not_chosen_and_ties_are_shuffled() -> None:
    chosen = choose_queries(results_with([0.0, 0.0] + [1.0] * 40), 6)
    rows = [row for row, _ in chosen]
    assert not {0, 1} & set(rows)
    assert sorted(rows) != list(range(2, 8)) and chosen == choose_queries(results_with([0.0, 0.0] + [1.0] * 40), 6)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_hardest_queries_have_the_lowest_precision(count: int) -> None:
    precision = np.random.default_rng(1).permutation(20) / 20  # 0 is a query without a match
    chosen = Choice(count, hardest=True).select(results_with(precision.tolist()), [""] * 20)
    assert [group for _, group in chosen] == [HARDEST] * min(count, 19)
    assert [precision[row] for row, _ in chosen] == sorted(precision[precision > 0])[:count]


def test_named_queries_keep_their_order_and_need_no_match() -> None:
    results, names = results_with([0.5, 0.0, 0.25]), ["a.jpg", "b.jpg", "c.jpg"]
    assert Choice(names=("c.jpg", "b.jpg", "c.jpg")).select(results, names) == [(2, NAMED), (1, NAMED)]
    with pytest.raises(UserError, match=r"^zzz: not a query of this test; the first of 3 is a\.jpg$"):
        Choice(names=("a.jpg", "zzz")).select(results, names)
    with pytest.raises(UserError, match=r"did you mean b\.jpg\?"):
        Choice(names=("b.jpeg",)).select(results, names)


def toy_dataset() -> tuple[Dataset, Features]:
    rows = [(f"q{vehicle}.jpg", f"v{vehicle}", 0, "query") for vehicle in range(4)]
    rows += [
        (f"g{vehicle}_{camera}.jpg", f"v{vehicle}", camera, "gallery") for vehicle in range(4) for camera in range(3)
    ]
    table = pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])
    random = np.random.default_rng(3)
    matrix = random.standard_normal((len(table), 8))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    features = Features(tuple(table["name"]), matrix.astype(np.float32), np.zeros((len(table), 0), np.float32), {})
    return Dataset("toy", Path(), table, {"test": fixed_split(table, same_camera_is_junk=True)}), features


def test_lists_agree_with_their_metrics() -> None:
    dataset, features = toy_dataset()
    lists = ranked_lists(features, dataset, dataset.protocol("test"), Choice(4), top_k=50)
    assert sorted(found.query for found in lists) == ["q0.jpg", "q1.jpg", "q2.jpg", "q3.jpg"]
    for found in lists:
        scores = [image.score for image in found.images]
        hits = [rank for rank, image in enumerate(found.images, start=1) if image.right]
        assert scores == sorted(scores, reverse=True)
        assert len(found.images) == 11 and found.positives == len(hits) == 2  # 12 less one by the same camera
        assert found.first_hit_rank == hits[0] and found.first_is_right == (hits[0] == 1)
        assert found.average_precision == pytest.approx((1 / hits[0] + 2 / hits[1]) / 2)
        for image in found.images:
            row = dataset.table.set_index("name").loc[image.name]
            assert (row["vehicle_id"], row["camera_id"]) == (image.vehicle, image.camera)
            assert image.right == (image.vehicle == found.vehicle)
            product = features.matrix[features.rows([image.name])] @ features.matrix[features.rows([found.query])].T
            assert image.score == pytest.approx(float(product[0, 0]), abs=1e-6)


def test_no_query_with_a_match_is_an_error() -> None:
    dataset, features = toy_dataset()
    table = dataset.table.assign(camera_id=0)
    changed = Dataset("toy", Path(), table, {"test": fixed_split(table, same_camera_is_junk=True)})
    with pytest.raises(UserError, match=r"no query of test \(4 queries\) has a match; there is no list to show"):
        ranked_lists(features, changed, changed.protocol("test"), Choice(4), top_k=2)


def test_a_named_query_without_a_match_has_a_list() -> None:
    dataset, features = toy_dataset()
    vehicle = dataset.table["vehicle_id"].where(dataset.table["name"] != "q2.jpg", "unmatched")
    changed = replace(dataset, table=dataset.table.assign(vehicle_id=vehicle))
    (ranked,) = ranked_lists(features, changed, changed.protocol("test"), Choice(names=("q2.jpg",)), top_k=3)
    assert (ranked.positives, ranked.average_precision, ranked.first_is_right) == (0, 0.0, False)
    assert len(ranked.images) == 3 and not any(image.right for image in ranked.images)


@pytest.mark.parametrize("tracks", [True, False])
def test_top_matches_are_the_head_of_the_sorted_list_without_junk(tracks: bool) -> None:
    case = random_case(11, tracks=tracks)
    results, labels = case.rank(), case.trial.gallery
    rows, scores = top_matches(case.query, case.gallery, case.trial, k=10)
    starts = np.arange(90) if case.trial.tracks is None else case.trial.tracks
    for index in range(23):
        match = labels.vehicle == case.trial.query.vehicle[index]
        valid = ~(match & (labels.camera == case.trial.query.camera[index]))
        cosines = case.gallery @ case.query[index]
        images = [int(part[cosines[part].argmax()]) for part in np.split(np.arange(90), starts[1:])]
        expected = sorted((row for row in images if valid[row]), key=lambda row: -cosines[row])[:10]
        assert rows[index, : len(expected)].tolist() == expected
        np.testing.assert_allclose(scores[index, : len(expected)], cosines[expected], rtol=1e-5)
        if 0 < results.first_hit_rank[index] <= 10:
            assert match[rows[index][results.first_hit_rank[index] - 1]]


def test_top_matches_of_a_short_gallery_are_padded() -> None:
    case = random_case(12, gallery=3).with_trial(same_camera_is_junk=False)
    rows, scores = top_matches(case.query, case.gallery, case.trial, k=5)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    assert (np.sort(rows[:, :3], axis=1) == [0, 1, 2]).all()


@pytest.mark.parametrize("tracks", [False, True])
def test_best_true_and_wrong_images_are_the_first_of_the_whole_list(tracks: bool) -> None:
    case = random_case(4, tracks=tracks)
    count = len(case.trial.ranked)
    everything, _ = top_matches(case.query, case.gallery, case.trial, k=count)
    true, wrong = best_true_and_wrong(case.query, case.gallery, case.trial)
    for query, rows in enumerate(everything):
        ranked = rows[rows >= 0]
        match = case.trial.gallery.vehicle[ranked] == case.trial.query.vehicle[query]
        assert true[query] == next(iter(ranked[match]), -1) and wrong[query] == next(iter(ranked[~match]), -1)
