"""Exact search against a naive loop: order, ties, masks, chunks, and galleries smaller than what is asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from helpers.places.api import Matrix, random_matrix
from vehicle_reid.gallery import search as module
from vehicle_reid.gallery.search import ExactSearch, Nearest, sample, search

Mask = NDArray[np.bool_]


def naive(query: Matrix, features: Matrix, k: int, allowed: Mask | None) -> list[list[int]]:
    """The best k of each query by a loop over pairs, in the precision of the features."""
    lists = []
    for one in query:
        scores = {row: float(np.einsum("c,c->", one, features[row])) for row in range(len(features))}
        rows = [row for row in scores if allowed is None or allowed[row]]
        lists.append(sorted(rows, key=lambda row: (-scores[row], row))[:k])
    return lists


def lists_of(found: Nearest) -> list[list[int]]:
    return [[row for row in rows if row >= 0] for rows in found.rows.tolist()]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 3), (7, 20), (300, 1), (300, 10), (3000, 5)])
def test_search_is_a_naive_loop(count: int, k: int, masked: bool) -> None:
    features, query = random_matrix(count), random_matrix(4, seed=1)
    features[count // 2 :: 3] = features[0]  # equal images, of which the earlier row comes first
    query[0] = features[0]
    allowed = np.random.default_rng(2).random(count) < 0.4 if masked else None
    found = search(ExactSearch(features), query, k, allowed)
    assert found.rows.shape == found.scores.shape == (4, k)
    assert lists_of(found) == naive(query, features, k, allowed)
    there = found.rows >= 0
    scores = np.einsum("qc,qkc->qk", query, features[found.rows])
    np.testing.assert_allclose(found.scores[there], scores[there], atol=1e-6)
    assert np.isneginf(found.scores[~there]).all()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, query = random_matrix(50), random_matrix(9, seed=1)
    whole = search(ExactSearch(features), query, 5)
    monkeypatch.setattr(module, "queries_at_once", lambda gallery: 2)
    chunked = search(ExactSearch(features), query, 5)
    np.testing.assert_array_equal(chunked.rows, whole.rows)
    np.testing.assert_array_equal(chunked.scores, whole.scores)


def test_of_equal_images_the_first_rows_come_first() -> None:
    features = np.repeat(random_matrix(1), 5000, axis=0)
    found = search(ExactSearch(features), features[:2], 4)
    assert found.rows.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("allowed", [None, np.zeros(0, bool)])
def test_an_empty_gallery_has_no_matches(allowed: Mask | None) -> None:
    found = search(ExactSearch(np.zeros((0, 8), np.float32)), random_matrix(2, 8), 3, allowed)
    assert (found.rows == -1).all() and np.isneginf(found.scores).all()


def test_where_no_image_is_allowed_there_is_no_match() -> None:
    features = random_matrix(5)
    assert (search(ExactSearch(features), features, 2, np.zeros(5, bool)).rows == -1).all()


def test_no_query_has_no_answer() -> None:
    assert search(ExactSearch(random_matrix(5, 8)), np.zeros((0, 8), np.float32), 3).rows.shape == (0, 3)


def test_what_cannot_be_asked_is_refused() -> None:
    index = ExactSearch(random_matrix(5, 8))
    with pytest.raises(UserError, match="k is 0"):
        search(index, random_matrix(1, 8), 0)
    with pytest.raises(UserError, match=r"features of shape \(1, 9\), finite and \(Q, 8\)"):
        search(index, random_matrix(1, 9), 1)
    with pytest.raises(UserError, match="finite"):
        search(index, np.full((1, 8), np.nan, np.float32), 1)


def test_recall_is_the_share_of_the_exact_best() -> None:
    class Halved(ExactSearch):
        def best(self, query: Matrix, k: int, allowed: Mask | None) -> Nearest:
            found = super().best(query, k, allowed)
            found.rows[:, : k // 2] = -1
            return found

    features = random_matrix(400)
    asked = sample(features, 10)
    assert asked.query.shape == (256, features.shape[1])
    assert asked.recall(ExactSearch(features)) == 1.0
    assert asked.recall(Halved(features)) == 0.5
    assert sample(features[:3], 10).recall(ExactSearch(features[:3])) == 1.0
