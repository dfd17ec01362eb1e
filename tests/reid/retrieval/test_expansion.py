"""Query expansion against a loop over the definition, and what must hold for any features."""

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from helpers.naive.reranking import naive_expansion
from helpers.toy.clusters import unit
from reid.retrieval.neighbours import expanded_queries

Matrix = NDArray[np.float32]


def pair(seed: int, queries: int = 15, gallery: int = 40) -> tuple[Matrix, Matrix]:
    random = np.random.default_rng(seed)
    return unit(random.standard_normal((queries, 8))), unit(random.standard_normal((gallery, 8)))


@pytest.mark.parametrize("k", [1, 5, 40, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed: int, k: int) -> None:
    query, gallery = pair(seed)
    found = expanded_queries(query, gallery, k=k, chunk=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive_expansion(query, gallery, k), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_nothing_added_is_the_query_itself() -> None:
    query, gallery = pair(4)
    np.testing.assert_array_equal(expanded_queries(query, gallery, k=0, chunk=4), query)


def test_inputs_are_left_as_they_are_and_the_chunk_changes_nothing() -> None:
    query, gallery = pair(5)
    before = query.copy(), gallery.copy()
    whole = expanded_queries(query, gallery, chunk=1000)
    np.testing.assert_array_equal(expanded_queries(query, gallery, chunk=1), whole)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(gallery, before[1])


def test_the_order_of_the_gallery_does_not_matter() -> None:
    query, gallery = pair(6)
    order = np.random.default_rng(0).permutation(len(gallery))
    shuffled = expanded_queries(query, gallery[order], chunk=4)
    np.testing.assert_allclose(shuffled, expanded_queries(query, gallery, chunk=4), atol=1e-6)


def test_a_query_that_is_in_the_gallery_finds_itself_first() -> None:
    _, gallery = pair(7)
    np.testing.assert_allclose(expanded_queries(gallery[:9], gallery, k=1, chunk=4), gallery[:9], atol=1e-6)
    np.testing.assert_allclose(expanded_queries(gallery, gallery, k=1, chunk=4), gallery, atol=1e-6)


def test_a_noisy_query_comes_nearer_to_its_vehicle() -> None:
    random = np.random.default_rng(8)
    centres = unit(random.standard_normal((10, 32)))
    gallery = unit(np.repeat(centres, 8, axis=0) + 0.1 * random.standard_normal((80, 32)))
    query = unit(centres + 0.15 * random.standard_normal((10, 32)))
    plain, expanded = ((values * centres).sum(axis=1) for values in (query, expanded_queries(query, gallery, chunk=4)))
    assert (expanded > plain).all()


def test_constant_and_opposite_features_stay_finite() -> None:
    one = unit(np.ones((1, 8)))
    np.testing.assert_allclose(expanded_queries(one, one.repeat(20, axis=0), chunk=4), one, atol=1e-6)
    assert np.isfinite(expanded_queries(one, -one, k=1, chunk=4)).all()


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(UserError, match="query expansion: k is -1, expected at least 0"):
        expanded_queries(*pair(9), k=-1, chunk=4)


@pytest.mark.parametrize("side", [0, 1])
def test_features_that_are_not_finite_are_refused(side: int) -> None:
    features = pair(9)
    features[side][4, 2] = np.nan
    with pytest.raises(UserError, match=f"{('query', 'gallery')[side]} row 4 is not finite"):
        expanded_queries(*features, chunk=4)
