"""Re-ranking against the paper's equations walked through image by image, and what holds for any features."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from data_cache.base.errors import UserError
from helpers.naive.reranking import naive_reranking
from helpers.toy.clusters import clustered, unit
from reid.retrieval import neighbours, reranking
from reid.retrieval.reranking import k_reciprocal_rows

Matrix = NDArray[np.float32]
SETTINGS = [(20, 6, 0.3), (7, 3, 0.0), (5, 1, 0.3), (2, 2, 0.1), (1, 1, 0.5), (1, 4, 0.5), (3, 12, 1.0)]
MORE_THAN_THERE_ARE = [(69, 6, 0.3), (500, 400, 0.3)]


def pair(seed: int, queries: int = 20, gallery: int = 50, *, found_again: bool = False) -> tuple[Matrix, Matrix]:
    """A query set and a gallery; `found_again` puts the query images into the gallery too, as VeRi-776 does."""
    features = clustered(seed, queries + gallery)
    query, rest = features[:queries], features[queries:]
    everything = np.random.default_rng(seed).permutation(features)
    return query, everything if found_again else rest


def scores(query: Matrix, gallery: Matrix, chunk: int = 7, **settings: Any) -> Matrix:
    """All rows at once, (Q, G), in the order of their numbers."""
    numbers, rows = zip(*k_reciprocal_rows(query, gallery, chunk=chunk, **settings), strict=True)
    assert numbers == tuple(range(len(query)))
    return np.stack(rows)


@pytest.mark.parametrize(("k1", "k2", "weight"), SETTINGS + MORE_THAN_THERE_ARE)
@pytest.mark.parametrize("found_again", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_equations(seed: int, found_again: bool, k1: int, k2: int, weight: float) -> None:
    query, gallery = pair(seed, found_again=found_again)
    found = scores(query, gallery, k1=k1, k2=k2, weight=weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive_reranking(query, gallery, k1, k2, weight), atol=1e-6)


def test_defaults_are_the_papers() -> None:
    query, gallery = pair(4)
    np.testing.assert_allclose(scores(query, gallery), naive_reranking(query, gallery, 20, 6, 0.3), atol=1e-6)


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
def test_a_set_joins_where_more_than_two_thirds_are_shared(own: list[int], half: list[int], members: list[int]) -> None:
    places, found = reranking._expanded_sets(np.array([own] * 4), np.array([half] * 4), np.array([2, 0]))
    assert (places.tolist(), found.tolist()) == ([0] * len(members) + [1] * len(members), members * 2)


def test_the_set_of_an_image_that_is_no_member_does_not_join() -> None:
    wide, narrow = np.array([[0, 1, 2, -1]] * 4), np.array([[-1] * 4] * 3 + [[0, 1, 2, 3]])
    assert reranking._expanded_sets(wide, narrow, np.array([0]))[1].tolist() == [0, 1, 2]


def test_the_chunk_changes_nothing() -> None:
    query, gallery = pair(1, found_again=True)
    for chunk in (1, 1000):
        np.testing.assert_allclose(scores(query, gallery, chunk), scores(query, gallery), atol=1e-6)


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = pair(2)
    whole = scores(query, gallery)
    for module, name in ((reranking, "COMPARED"), (reranking, "AVERAGED"), (neighbours, "PAIRS")):
        monkeypatch.setattr(module, name, 3)
    np.testing.assert_array_equal(scores(query, gallery), whole)


def test_a_permuted_gallery_permutes_the_scores() -> None:
    query, gallery = pair(3)
    order = np.random.default_rng(0).permutation(len(gallery))
    np.testing.assert_allclose(scores(query, gallery[order]), scores(query, gallery)[:, order], atol=1e-6)


def test_the_original_distance_alone_keeps_the_plain_order() -> None:
    query, gallery = pair(5)
    plain = np.argsort(-(query.astype(np.float64) @ gallery.T.astype(np.float64)), axis=1)
    np.testing.assert_array_equal(np.argsort(-scores(query, gallery, weight=1), axis=1), plain)


def test_a_query_that_is_in_the_gallery_finds_itself_first() -> None:
    query, gallery = pair(6, found_again=True)
    best = gallery[scores(query, gallery).argmax(axis=1)]
    np.testing.assert_array_equal(best, query)


def test_images_of_one_vehicle_help_each_other() -> None:
    """On noisy clusters more of the first ten are right than without, which is what re-ranking is for."""
    random = np.random.default_rng(7)
    vehicle = np.repeat(np.arange(20), 12)
    features = unit(random.standard_normal((20, 32))[vehicle] + 1.3 * random.standard_normal((240, 32)))
    asks = np.arange(240) % 12 == 0
    query, gallery = features[asks], features[~asks]

    def right(values: Matrix) -> float:
        best = np.argsort(-values, axis=1)[:, :10]
        return float((vehicle[~asks][best] == vehicle[asks][:, None]).mean())

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
    assert found.min() >= -1 - 1e-6 and found.max() <= 0


def test_one_image_of_each() -> None:
    query, gallery = pair(8, 1, 1)
    np.testing.assert_allclose(scores(query, gallery), naive_reranking(query, gallery, 20, 6, 0.3), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": 0}, "k1 is 0, expected at least 1"),
        ({"k2": 0}, "k2 is 0, expected at least 1"),
        ({"weight": -0.1}, "is -0.1, expected 0 to 1"),
        ({"weight": 1.01}, "is 1.01, expected 0 to 1"),
        ({"weight": float("nan")}, "is nan, expected 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        k_reciprocal_rows(*pair(9), chunk=7, **settings)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(side: int, value: float) -> None:
    features = pair(9)
    features[side][4, 2] = value
    with pytest.raises(UserError, match=f"{('query', 'gallery')[side]} row 4 is not finite"):
        k_reciprocal_rows(*features, chunk=7)


class Largest(TorchDispatchMode):
    """Keeps the number of elements of the largest tensor that any operator gave."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_no_array_is_of_all_images_against_all() -> None:
    """tracemalloc sees what numpy holds at its peak, the mode every tensor; both stay far below N x N."""
    features = clustered(0, 3000)
    rows = k_reciprocal_rows(features[:400], features[400:], chunk=32)
    with Largest() as largest:
        tracemalloc.start()
        held = max(tracemalloc.get_traced_memory()[1] for _ in rows)
        tracemalloc.stop()
    assert largest.elements == 32 * 3000
    assert held < 3000 * 3000 * 4 / 2
