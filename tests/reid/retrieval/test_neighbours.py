"""Exact neighbours and query expansion against sorted distances and a loop over the definition."""

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from helpers.naive.ranking import queries_at_once, unit
from helpers.naive.reranking import naive_expansion
from helpers.toy.clusters import clustered
from reid.retrieval.neighbours import expanded_queries, nearest, squared_distances

Matrix = NDArray[np.float32]


@pytest.mark.parametrize("k", [1, 4, 60, 100])
@pytest.mark.parametrize("skip_itself", [False, True])
def test_nearest_is_the_head_of_the_sorted_distances(k: int, skip_itself: bool) -> None:
    features = clustered(10, 60)
    among = features if skip_itself else clustered(11, 45)
    with queries_at_once(13):
        neighbours = nearest(features, among, k, skip_itself=skip_itself)
    distances = ((features[:, None].astype(np.float64) - among[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(neighbours.farthest, distances.max(axis=1), atol=1e-5)
    for row, order in enumerate(np.argsort(distances, axis=1)):
        expected = [other for other in order.tolist() if not (skip_itself and other == row)]
        assert neighbours.rows[row].tolist() == expected[:k]


@pytest.mark.parametrize("chunk", [1, 8, 90])
def test_equal_images_are_ordered_by_row_whatever_the_chunk(chunk: int) -> None:
    """Every image occurs three times; the product alone would order the copies by its rounding."""
    features = np.tile(clustered(12, 30, channels=333), (3, 1))
    with queries_at_once(chunk):
        rows = nearest(features, features, 2, skip_itself=True).rows
    copies = [sorted({row % 30, row % 30 + 30, row % 30 + 60} - {row}) for row in range(90)]
    assert rows.tolist() == copies


def test_squared_distances_of_equal_features_are_zero() -> None:
    features = clustered(13, 5, channels=333)
    rows = np.arange(5)
    assert squared_distances(features, features.copy(), rows, rows).tolist() == [0] * 5


def random_pair(seed: int, queries: int = 15, gallery: int = 40) -> tuple[Matrix, Matrix]:
    random = np.random.default_rng(seed)
    return unit(random.standard_normal((queries, 8))), unit(random.standard_normal((gallery, 8)))


@pytest.mark.parametrize("k", [0, 1, 5, 40, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_expansion_equals_the_definition(seed: int, k: int) -> None:
    query, gallery = random_pair(seed)
    before = query.copy(), gallery.copy()
    with queries_at_once(4):
        expanded = expanded_queries(query, gallery, k)
    assert expanded.dtype == np.float32
    np.testing.assert_allclose(expanded, naive_expansion(query, gallery, k), atol=1e-6)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(gallery, before[1])


def test_a_query_in_the_gallery_is_its_own_nearest() -> None:
    _, gallery = random_pair(7)
    np.testing.assert_allclose(expanded_queries(gallery[:9], gallery, 1), gallery[:9], atol=1e-6)


def test_expansion_moves_a_noisy_query_towards_its_vehicle() -> None:
    random = np.random.default_rng(8)
    centres = unit(random.standard_normal((10, 32)))
    gallery = unit(np.repeat(centres, 8, axis=0) + 0.1 * random.standard_normal((80, 32)))
    query = unit(centres + 0.15 * random.standard_normal((10, 32)))
    plain, expanded = ((values * centres).sum(axis=1) for values in (query, expanded_queries(query, gallery, 5)))
    assert (expanded > plain).all()


def test_expansion_of_constant_and_opposite_features_is_finite() -> None:
    one = unit(np.ones((1, 8)))
    np.testing.assert_allclose(expanded_queries(one, one.repeat(20, axis=0), 5), one, atol=1e-6)
    assert np.isfinite(expanded_queries(one, -one, 1)).all()


@pytest.mark.parametrize("side", [0, 1])
def test_expansion_refuses_features_that_are_not_finite(side: int) -> None:
    features = random_pair(9)
    features[side][4, 2] = np.nan
    with pytest.raises(UserError, match=f"{('query', 'gallery')[side]} row 4 is not finite"):
        expanded_queries(*features, 5)
