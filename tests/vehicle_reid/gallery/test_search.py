"""Exact search against a naive loop: order, ties, masks, chunks, and small galleries."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from helpers.places.api import Matrix, random_matrix
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid.gallery import search as module
from vehicle_reid.gallery.search import ExactSearch, search, search_after, share_found

Mask = NDArray[np.bool_]


def naive_search(query: Matrix, features: Matrix, k: int, allowed: Mask | None) -> list[list[int]]:
    """Return the best k rows of each query by a loop over pairs, in the precision of the features."""
    ranked = []
    for vector in query:
        scores = {row: float(np.einsum("c,c->", vector, features[row])) for row in range(len(features))}
        rows = [row for row in scores if allowed is None or allowed[row]]
        ranked.append(sorted(rows, key=lambda row: (-scores[row], row))[:k])
    return ranked


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 3), (7, 20), (300, 1), (300, 10), (3000, 5)])
def test_search_equals_a_naive_loop(count: int, k: int, masked: bool) -> None:
    features, query = random_matrix(count), random_matrix(4, seed=1)
    features[count // 2 :: 3] = features[0]  # equal images are ordered by row
    query[0] = features[0]
    allowed = np.random.default_rng(2).random(count) < 0.4 if masked else None
    matches = search(ExactSearch(features), query, k, allowed)
    assert matches.rows.shape == matches.scores.shape == (4, k)
    rows = [[row for row in rows if row >= 0] for rows in matches.rows.tolist()]
    assert rows == naive_search(query, features, k, allowed)
    present = matches.rows >= 0
    scores = np.einsum("qc,qkc->qk", query, features[matches.rows])
    np.testing.assert_allclose(matches.scores[present], scores[present], atol=1e-6)
    assert np.isneginf(matches.scores[~present]).all()


def test_the_chunk_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, query = random_matrix(50), random_matrix(9, seed=1)
    whole = search(ExactSearch(features), query, 5)
    monkeypatch.setattr(module, "queries_at_once", lambda gallery: 2)
    chunked = search(ExactSearch(features), query, 5)
    np.testing.assert_array_equal(chunked.rows, whole.rows)
    np.testing.assert_array_equal(chunked.scores, whole.scores)


def test_thousands_of_equal_images_are_ordered_by_row() -> None:
    features = np.repeat(random_matrix(1), 5000, axis=0)
    assert search(ExactSearch(features), features[:2], 4).rows.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize(("count", "allowed"), [(0, None), (0, np.zeros(0, bool)), (5, np.zeros(5, bool))])
def test_without_allowed_images_there_is_no_match(count: int, allowed: Mask | None) -> None:
    matches = search(ExactSearch(random_matrix(count, 8)), random_matrix(2, 8), 3, allowed)
    assert (matches.rows == -1).all() and np.isneginf(matches.scores).all()


def test_without_queries_the_result_is_empty() -> None:
    assert search(ExactSearch(random_matrix(5, 8)), np.zeros((0, 8), np.float32), 3).rows.shape == (0, 3)


def test_an_invalid_query_is_refused() -> None:
    index = ExactSearch(random_matrix(5, 8))
    with pytest.raises(UserError, match="k is 0"):
        search(index, random_matrix(1, 8), 0)
    with pytest.raises(UserError, match=r"features of shape \(1, 9\); they must be finite and of shape \(Q, 8\)"):
        search(index, random_matrix(1, 9), 1)
    with pytest.raises(UserError, match="finite"):
        search(index, np.full((1, 8), np.nan, np.float32), 1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("after", [AfterNetwork(database=3), AfterNetwork(expand=2), AfterNetwork(rerank=True)])
def test_search_after_the_network_orders_the_allowed_images_by_its_scores(after: AfterNetwork, masked: bool) -> None:
    features, query = random_matrix(60), random_matrix(5, seed=1)
    allowed = np.random.default_rng(2).random(60) < 0.5 if masked else None
    rows = np.arange(60) if allowed is None else np.flatnonzero(allowed)
    wanted = torch.cat(list(after.scores(query, features[rows]))).numpy()
    matches = search_after(after, query, features, 70, allowed, "cpu")
    for number, scores in enumerate(wanted):
        order = sorted(range(len(rows)), key=lambda row, scores=scores: (-scores[row], row))  # type: ignore[misc]
        assert matches.rows[number, : len(rows)].tolist() == rows[order].tolist()
        assert matches.scores[number, : len(rows)].tolist() == scores[order].tolist()
    assert (matches.rows[:, len(rows) :] == -1).all()
    assert search_after(after, query, features, 3, allowed, "cpu").rows.tolist() == matches.rows[:, :3].tolist()


def test_an_augmented_database_is_a_search_among_means() -> None:
    features, query = random_matrix(20), random_matrix(3, seed=1)
    means = []
    for row, own in enumerate(features):
        others = sorted((other for other in range(20) if other != row), key=lambda other: -float(own @ features[other]))
        mean = own + features[others[0]] + features[others[1]]
        means.append(mean / np.linalg.norm(mean))
    wanted = np.argsort(-(query @ np.array(means).T), axis=1)[:, :5]
    found = search_after(AfterNetwork(database=2), query, features, 5, None, "cpu")
    assert found.rows.tolist() == wanted.tolist()


def test_what_a_gallery_cannot_do_is_refused() -> None:
    features = random_matrix(5)
    with pytest.raises(UserError, match="the camera of a query is not known"):
        search_after(AfterNetwork(camera_means=True), features, features, 1, None, "cpu")
    with pytest.raises(UserError, match="k is 0"):
        search_after(AfterNetwork(rerank=True), features, features, 0, None, "cpu")
    nothing = search_after(AfterNetwork(rerank=True), features, features, 2, np.zeros(5, bool), "cpu")
    assert (nothing.rows == -1).all()


def test_recall_is_the_share_of_the_exact_best_that_was_found() -> None:
    found = np.array([[4, 9, 1], [7, -1, -1]])
    exact = np.array([[1, 2, 4], [7, 8, 9]])
    assert share_found(found, exact) == (2 + 1) / 6
    assert share_found(exact, exact) == 1
