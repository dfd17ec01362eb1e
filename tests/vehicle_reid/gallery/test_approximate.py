"""faiss indices: exact if all lists are probed, correct with ids, masks, updates and files."""

import sys

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import Matrix, random_matrix
from vehicle_reid.gallery.approximate import KINDS, SPARE, TARGET, FaissSearch, Settings, require_index
from vehicle_reid.gallery.search import ExactSearch, Matches, recall_sample, search

COUNT = 800


@pytest.fixture(scope="module")
def features() -> Matrix:
    """Clusters of eight images, some of them equal."""
    centres = np.repeat(random_matrix(COUNT // 8), 8, axis=0)
    matrix = centres + 0.6 * random_matrix(COUNT, seed=1)
    matrix[5::100] = matrix[5]
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    """Ascending ids with gaps."""
    return np.cumsum(np.random.default_rng(3).integers(1, 4, COUNT)).astype(np.int64)


def probing_all(index: FaissSearch) -> FaissSearch:
    settings = Settings(index.kind, 10**6, index.settings.trained_on)
    return FaissSearch(index._index, index.features, index.ids, settings)


def assert_equal(found: Matches, wanted: Matches) -> None:
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.004])
def test_an_index_that_probes_all_lists_is_exact(features: Matrix, ids: np.ndarray, kind: str, share: float) -> None:
    index, query = probing_all(FaissSearch.build(kind, features, ids)), features[::50]
    allowed = None if share == 1 else np.random.default_rng(4).random(COUNT) < share
    for k in (1, 5, COUNT + 3):
        assert_equal(search(index, query, k, allowed), search(ExactSearch(features), query, k, allowed))


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_an_index_is_tuned_to_the_target_recall(
    features: Matrix, ids: np.ndarray, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    index = FaissSearch.build(kind, features, ids)
    assert capfd.readouterr() == ("", "")  # no warnings of faiss about few images
    lists = index._index.nlist
    assert lists == COUNT // 39 and 1 <= index.settings.probes <= lists
    sample = recall_sample(features, 10)
    assert sample.recall(index) >= TARGET or index.settings.probes == lists
    if index.settings.probes > 1:
        half = Settings(kind, index.settings.probes // 2, COUNT)
        assert sample.recall(FaissSearch(index._index, features, ids, half)) < TARGET
    matches = search(index, features[::50], 3)
    scores = np.einsum("qc,qkc->qk", features[::50], features[matches.rows])
    np.testing.assert_allclose(matches.scores, scores, atol=1e-6)  # not those of the compressed vectors


@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_images_are_found(features: Matrix, ids: np.ndarray, kind: str) -> None:
    allowed = np.arange(COUNT) % 7 == 3
    rows = search(FaissSearch.build(kind, features, ids), features[:20], 6, allowed).rows
    assert allowed[rows[rows >= 0]].all() and (rows >= 0).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_an_updated_index_finds_added_images_and_no_removed_ones(features: Matrix, ids: np.ndarray, kind: str) -> None:
    index = probing_all(FaissSearch.build(kind, features[:600], ids[:600]))
    kept = np.r_[0:300, 400:COUNT]
    updated = index.updated(features[kept], ids[kept])
    assert updated.settings == index.settings and updated._index is index._index
    query = features[250:450:20]
    wanted = search(ExactSearch(features[kept]), query, 4)
    found = search(updated, query, 4)
    assert (found.rows[:, 0] == wanted.rows[:, 0]).all() and found.rows.max() < len(kept)
    if kind != "ivfpq":
        assert_equal(found, wanted)


def test_an_index_is_trained_again_when_the_gallery_has_outgrown_it(features: Matrix, ids: np.ndarray) -> None:
    index = FaissSearch.build("ivf", features[:150], ids[:150])
    assert index._index.nlist == 3
    assert index.updated(features[:600], ids[:600])._index.nlist == 3
    assert index.updated(features, ids)._index.nlist == COUNT // 39


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_an_index_survives_a_round_trip_through_bytes(features: Matrix, ids: np.ndarray, kind: str) -> None:
    index = FaissSearch.build(kind, features, ids)
    data = index.to_bytes()
    assert FaissSearch.build(kind, features, ids).to_bytes() == data
    read = FaissSearch.from_bytes(data, features, ids, index.settings)
    assert read.to_bytes() == data
    assert_equal(search(read, features[:9], 5), search(index, features[:9], 5))
    with pytest.raises(UserError, match="index of 800 x 32, gallery of 799 x 32"):
        FaissSearch.from_bytes(data, features[1:], ids[1:], index.settings)
    with pytest.raises(UserError, match="not an index of this faiss"):
        FaissSearch.from_bytes(data[: len(data) // 2], features, ids, index.settings)


def test_too_few_images_are_refused(features: Matrix, ids: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"index ivfpq: needs at least 256 images .* has 200 of 32; use ivf or exact"):
        FaissSearch.build("ivfpq", features[:200], ids[:200])
    with pytest.raises(UserError, match=r"index ivf: .* the gallery is empty"):
        FaissSearch.build("ivf", features[:0], ids[:0])
    assert len(FaissSearch.build("flat", features[:0], ids[:0]).ids) == 0
    assert FaissSearch.build("ivf", features[:20], ids[:20])._index.nlist == 1


def test_a_missing_faiss_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    require_index("ivf")
    monkeypatch.setitem(sys.modules, "faiss", None)
    require_index("exact")
    with pytest.raises(UserError, match=r"^faiss is not installed; pip install '\.\[search\]'"):
        require_index("ivf")
    with pytest.raises(UserError, match="unknown index ivfp; did you mean ivfpq"):
        require_index("ivfp")


def test_equal_images_are_ordered_by_row(features: Matrix, ids: np.ndarray) -> None:
    matches = search(probing_all(FaissSearch.build("ivfpq", features, ids)), features[5:6], SPARE)
    assert matches.rows[0].tolist() == [5 + 100 * number for number in range(8)]
