"""Indices of faiss: exact where they look everywhere, true to ids, masks and files, and no file is trusted."""

import sys

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import Matrix, random_matrix
from vehicle_reid.gallery import approximate
from vehicle_reid.gallery.approximate import KINDS, TARGET, FaissSearch, Settings, require_index
from vehicle_reid.gallery.search import ExactSearch, Nearest, sample, search

COUNT = 800


@pytest.fixture(scope="module")
def features() -> Matrix:
    """Clusters of eight, some images equal."""
    centres = np.repeat(random_matrix(COUNT // 8), 8, axis=0)
    matrix = centres + 0.6 * random_matrix(COUNT, seed=1)
    matrix[5::100] = matrix[5]
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    return np.cumsum(np.random.default_rng(3).integers(1, 4, COUNT)).astype(np.int64)


def everywhere(index: FaissSearch) -> FaissSearch:
    """The index, looking into all of its lists."""
    settings = Settings(index.kind, 10**6, index.settings.trained_on)
    return FaissSearch(index._index, index.features, index.ids, settings)


def assert_same(found: Nearest, wanted: Nearest) -> None:
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.004])
def test_an_index_that_looks_everywhere_is_exact(features: Matrix, ids: np.ndarray, kind: str, share: float) -> None:
    index = everywhere(FaissSearch.build(kind, features, ids))
    allowed = None if share == 1 else np.random.default_rng(4).random(COUNT) < share
    for k in (1, 5, COUNT + 3):
        query = features[::50]
        assert_same(search(index, query, k, allowed), search(ExactSearch(features), query, k, allowed))


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_an_index_is_set_to_its_recall(
    features: Matrix, ids: np.ndarray, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    index = FaissSearch.build(kind, features, ids)
    assert capfd.readouterr() == ("", "")  # faiss would warn of so few images
    lists = index._index.nlist
    assert lists == COUNT // 39 and 1 <= index.settings.probes <= lists
    asked = sample(features, 10)
    assert asked.recall(index) >= TARGET or index.settings.probes == lists
    if index.settings.probes > 1:
        half = Settings(kind, index.settings.probes // 2, COUNT)
        assert asked.recall(FaissSearch(index._index, features, ids, half)) < TARGET
    found = search(index, features[::50], 3)
    scores = np.einsum("qc,qkc->qk", features[::50], features[found.rows])
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)  # measured, not those of the products


@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_images_are_found(features: Matrix, ids: np.ndarray, kind: str) -> None:
    allowed = np.arange(COUNT) % 7 == 3
    found = search(FaissSearch.build(kind, features, ids), features[:20], 6, allowed).rows
    assert allowed[found[found >= 0]].all() and (found >= 0).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_is_found_and_what_is_removed_is_not(features: Matrix, ids: np.ndarray, kind: str) -> None:
    index = everywhere(FaissSearch.build(kind, features[:600], ids[:600]))
    kept = np.r_[0:300, 400:COUNT]
    changed = index.changed(features[kept], ids[kept])
    assert changed.settings == index.settings and changed._index is index._index
    query = features[250:450:20]
    wanted = search(ExactSearch(features[kept]), query, 4)
    found = search(changed, query, 4)
    assert (found.rows[:, 0] == wanted.rows[:, 0]).all() and found.rows.max() < len(kept)
    if kind != "ivfpq":
        assert_same(found, wanted)


def test_an_index_that_was_outgrown_is_trained_anew(features: Matrix, ids: np.ndarray) -> None:
    index = FaissSearch.build("ivf", features[:150], ids[:150])
    assert index._index.nlist == 3
    assert index.changed(features[:600], ids[:600])._index.nlist == 3
    assert index.changed(features, ids)._index.nlist == COUNT // 39


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_a_written_index_is_the_same(features: Matrix, ids: np.ndarray, kind: str) -> None:
    index = FaissSearch.build(kind, features, ids)
    data = index.written()
    again = FaissSearch.read(data, features, ids, index.settings)
    assert again.written() == data
    assert_same(search(again, features[:9], 5), search(index, features[:9], 5))
    assert FaissSearch.build(kind, features, ids).written() == data
    with pytest.raises(UserError, match="index of 800 x 32, gallery of 799 x 32"):
        FaissSearch.read(data, features[1:], ids[1:], index.settings)
    with pytest.raises(UserError, match="not an index of this faiss"):
        FaissSearch.read(data[: len(data) // 2], features, ids, index.settings)


def test_too_few_images_are_refused(features: Matrix, ids: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"index ivfpq: it needs 256 images .* there are 200 of 32; take ivf or exact"):
        FaissSearch.build("ivfpq", features[:200], ids[:200])
    with pytest.raises(UserError, match=r"index ivf: .* there are none"):
        FaissSearch.build("ivf", features[:0], ids[:0])
    assert len(FaissSearch.build("flat", features[:0], ids[:0]).ids) == 0
    assert FaissSearch.build("ivf", features[:20], ids[:20])._index.nlist == 1


def test_an_index_needs_faiss_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_index("ivf")
    monkeypatch.setitem(sys.modules, "faiss", None)
    require_index("exact")
    with pytest.raises(UserError, match=r"^faiss is not installed; pip install '\.\[search\]'"):
        require_index("ivf")
    with pytest.raises(UserError, match="unknown index ivfp; did you mean ivfpq"):
        require_index("ivfp")


def test_equal_images_come_by_row(features: Matrix, ids: np.ndarray) -> None:
    found = search(everywhere(FaissSearch.build("ivfpq", features, ids)), features[5:6], 8)
    assert found.rows[0].tolist() == [5 + 100 * place for place in range(8)]
    assert approximate.SPARE == 8
