"""Re-ranking against the paper's equations computed image by image, and its invariances."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from data_cache.base.errors import UserError
from helpers.naive.ranking import queries_at_once, unit
from helpers.naive.reranking import naive_reranking
from helpers.toy.clusters import clustered
from reid.retrieval import neighbours, reranking
from reid.retrieval.reranking import k_reciprocal_scores

Matrix = NDArray[np.float32]
SETTINGS = [(20, 6, 0.3), (7, 3, 0.0), (5, 1, 0.3), (2, 2, 0.1), (1, 1, 0.5), (1, 4, 0.5), (3, 12, 1.0)]
MORE_THAN_IMAGES = [(69, 6, 0.3), (500, 400, 0.3)]


def pair(seed: int, queries: int = 20, gallery: int = 50, *, with_queries: bool = False) -> tuple[Matrix, Matrix]:
    """Return queries and a gallery; `with_queries` adds the query images to the gallery, as in VeRi-776."""
    features = clustered(seed, queries + gallery)
    shuffled = np.random.default_rng(seed).permutation(features)
    return features[:queries], shuffled if with_queries else features[queries:]


def scores(query: Matrix, gallery: Matrix, chunk: int = 7, **settings: Any) -> Matrix:
    """Return all scores, (Q, G)."""
    with queries_at_once(chunk):
        return torch.cat(list(k_reciprocal_scores(query, gallery, **settings))).numpy()


@pytest.mark.parametrize(("k1", "k2", "weight"), SETTINGS + MORE_THAN_IMAGES)
@pytest.mark.parametrize("with_queries", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_scores_equal_the_equations(seed: int, with_queries: bool, k1: int, k2: int, weight: float) -> None:
    query, gallery = pair(seed, with_queries=with_queries)
    found = scores(query, gallery, k1=k1, k2=k2, weight=weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive_reranking(query, gallery, k1, k2, weight), atol=1e-6)


@pytest.mark.parametrize(("queries", "gallery"), [(20, 50), (1, 1)])
def test_defaults_are_those_of_the_paper(queries: int, gallery: int) -> None:
    features = pair(4, queries, gallery)
    np.testing.assert_allclose(scores(*features), naive_reranking(*features, 20, 6, 0.3), atol=1e-6)


def test_reciprocal_sets_of_a_worked_example() -> None:
    """Four images on a line; the last has two neighbours, and neither has it among its own two."""
    lists = np.array([[1, 2], [0, 2], [1, 0], [2, 1]])
    sets = {k: [sorted(set(row) - {-1}) for row in reranking._reciprocal_sets(lists, k).tolist()] for k in (1, 2)}
    assert sets == {1: [[0, 1], [0, 1], [2], [3]], 2: [[0, 1, 2], [0, 1, 2], [0, 1, 2], [3]]}


@pytest.mark.parametrize(
    ("own", "half", "members"),
    [
        ([0, 1, 2, -1], [0, 1, 2, 3], [0, 1, 2, 3]),  # three of four are shared
        ([0, 1, -1, -1], [0, 1, 3, -1], [0, 1]),  # two of three: not more than two thirds
        ([0, 1, -1, -1], [0, 1, -1, -1], [0, 1]),
        ([0, 1, -1, -1], [2, -1, -1, -1], [0, 1]),
    ],
)
def test_a_set_is_added_if_more_than_two_thirds_are_shared(own: list[int], half: list[int], members: list[int]) -> None:
    slots, found = reranking._expanded_sets(np.array([own] * 4), np.array([half] * 4), np.array([2, 0]))
    assert (slots.tolist(), found.tolist()) == ([0] * len(members) + [1] * len(members), members * 2)


def test_the_set_of_an_image_outside_the_own_set_is_not_added() -> None:
    wide, narrow = np.array([[0, 1, 2, -1]] * 4), np.array([[-1] * 4] * 3 + [[0, 1, 2, 3]])
    assert reranking._expanded_sets(wide, narrow, np.array([0]))[1].tolist() == [0, 1, 2]


def test_chunk_and_block_sizes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = pair(1, with_queries=True)
    whole = scores(query, gallery)
    for chunk in (1, 1000):
        np.testing.assert_allclose(scores(query, gallery, chunk), whole, atol=1e-6)
    for module, name in ((reranking, "COMPARED"), (neighbours, "PAIRS")):
        monkeypatch.setattr(module, name, 3)
    np.testing.assert_array_equal(scores(query, gallery), whole)


def test_a_permuted_gallery_permutes_the_scores() -> None:
    query, gallery = pair(3)
    order = np.random.default_rng(0).permutation(len(gallery))
    np.testing.assert_allclose(scores(query, gallery[order]), scores(query, gallery)[:, order], atol=1e-6)


def test_weight_one_keeps_the_plain_order() -> None:
    query, gallery = pair(5)
    plain = np.argsort(-(query.astype(np.float64) @ gallery.T.astype(np.float64)), axis=1)
    np.testing.assert_array_equal(np.argsort(-scores(query, gallery, weight=1), axis=1), plain)


def test_a_query_that_is_in_the_gallery_finds_itself_first() -> None:
    query, gallery = pair(6, with_queries=True)
    best = gallery[scores(query, gallery).argmax(axis=1)]
    np.testing.assert_array_equal(best, query)


def test_reranking_improves_noisy_clusters() -> None:
    """More of the first ten images are right than in the plain order."""
    random = np.random.default_rng(7)
    vehicle = np.repeat(np.arange(20), 12)
    features = unit(random.standard_normal((20, 32))[vehicle] + 1.3 * random.standard_normal((240, 32)))
    is_query = np.arange(240) % 12 == 0
    query, gallery = features[is_query], features[~is_query]

    def right(values: Matrix) -> float:
        best = np.argsort(-values, axis=1)[:, :10]
        return float((vehicle[~is_query][best] == vehicle[is_query][:, None]).mean())

    assert right(scores(query, gallery)) > right(query @ gallery.T) + 0.05


@pytest.mark.parametrize("channels", [16, 333, 512, 2048])
def test_constant_features_give_every_image_one_score(channels: int) -> None:
    constant = unit(np.random.default_rng(channels).standard_normal((1, channels)))
    found = scores(constant.repeat(9, axis=0), constant.repeat(201, axis=0))
    assert len(set(found.ravel().tolist())) == 1
    assert np.isfinite(found).all()


@pytest.mark.parametrize("levels", [2, 3, 40])
def test_many_equal_features_give_finite_scores_in_range(levels: int) -> None:
    random = np.random.default_rng(levels)
    features = unit(random.standard_normal((levels, 16)))[random.integers(0, levels, 150)]
    found = scores(features[:30], features[30:])
    assert np.isfinite(found).all()
    assert found.min() >= -1 - 1e-6 and found.max() <= 1e-6


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(side: int, value: float) -> None:
    features = pair(9)
    features[side][4, 2] = value
    with pytest.raises(UserError, match=f"{('query', 'gallery')[side]} row 4 is not finite"):
        scores(*features)


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operator returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_no_array_holds_all_images_against_all() -> None:
    """The peak of numpy's memory by tracemalloc, and the largest tensor, stay far below N x N."""
    features = clustered(0, 3000)
    with Largest() as largest, queries_at_once(32):
        tracemalloc.start()
        peak = max(tracemalloc.get_traced_memory()[1] for _ in k_reciprocal_scores(features[:400], features[400:]))
        tracemalloc.stop()
    assert largest.elements == 32 * 3000
    assert peak < 3000 * 3000 * 4 / 2
