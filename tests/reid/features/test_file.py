"""The feature file: round trip, validation, and detection of damage."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.tensors import save_tensors
from helpers.toy.features import extracted
from helpers.toy.vehicles import Toy
from reid.features import file as features_file
from reid.features.file import Features, read_features, require_names_fit, require_spread, write_features


def make_features(slots: int = 3) -> Features:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((5, 8))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    names = tuple(f"images/ü {number}.jpg" for number in range(5))
    attention = random.dirichlet(np.ones(slots), 5) if slots else np.zeros((5, 0))
    return Features(names, matrix.astype(np.float32), attention.astype(np.float32), {"epoch": 3, "recipe": "pgan"})


@pytest.mark.parametrize("slots", [0, 3])
def test_round_trip(tmp_path: Path, slots: int) -> None:
    features = make_features(slots)
    write_features(tmp_path / "features.safetensors", features)
    found = read_features(tmp_path / "features.safetensors")
    assert found.names == features.names
    assert found.provenance == features.provenance
    np.testing.assert_array_equal(found.matrix, features.matrix)
    np.testing.assert_array_equal(found.attention, features.attention)


def test_a_strided_matrix_is_written_in_row_order(tmp_path: Path) -> None:
    features = make_features()
    turned = Features(features.names, np.asfortranarray(features.matrix), features.attention, {})
    write_features(tmp_path / "f", turned)
    np.testing.assert_array_equal(read_features(tmp_path / "f").matrix, features.matrix)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": None}, "NoneType"),
        ({"names": ["a"] * 5}, "an image is named twice"),
        ({"names": [[]] * 5}, "unhashable"),
        ({"provenance": 3}, "int"),
        ({"features": torch.ones(5, 8)}, "length 1"),
        ({"features": torch.ones(5, 8, dtype=torch.bfloat16)}, "BFloat16"),
        ({"attention": torch.ones(4, 1)}, r"attention is float32 \(4, 1\)"),
    ],
)
def test_invalid_content_with_a_valid_hash_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path, valid = tmp_path / "f", make_features()
    tensors = {
        name: torch.from_numpy(array) for name, array in (("features", valid.matrix), ("attention", valid.attention))
    }
    contents = {"schema": 1, "names": list(valid.names), "provenance": {}}
    for part in (tensors, contents):
        part |= {name: value for name, value in change.items() if name in part}
    save_tensors(path, tensors, contents)
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(path))}: holds no features \(.*{words}.*\); delete it and run"
    ):
        read_features(path)
    for name in change:
        save_tensors(
            path, *({key: value for key, value in part.items() if key != name} for part in (tensors, contents))
        )
        with pytest.raises(UserError, match=rf"holds no features \('{name}'\); try again"):
            read_features(path, "try again")


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cli\.py evaluate"):
        read_features(tmp_path / "absent")


@pytest.mark.parametrize(
    ("column", "value", "reason"), [(2, np.nan, "not finite"), (2, np.inf, "not finite"), (slice(None), 0, "length 1")]
)
def test_an_invalid_row_is_refused_by_name(column: int, value: float, reason: str) -> None:
    features = make_features()
    matrix = features.matrix.copy()
    matrix[3, column] = value
    with pytest.raises(UserError, match=rf"ü 3\.jpg.*{reason}"):
        Features(features.names, matrix, features.attention, {})


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5])
def test_invalid_attention_is_refused_by_name(value: float) -> None:
    features = make_features()
    attention = features.attention.copy()
    attention[1, 0] = value
    with pytest.raises(UserError, match=r"ü 1\.jpg.*attention"):
        Features(features.names, features.matrix, attention, {})


def test_shapes_and_names_are_checked() -> None:
    features = make_features()
    with pytest.raises(UserError, match=r"expected float32 \(5, \.\.\.\)"):
        Features(features.names, features.matrix[:4], features.attention, {})
    with pytest.raises(UserError, match="float64"):
        Features(features.names, features.matrix.astype(np.float64), features.attention, {})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="twice"):
        Features((*features.names[:4], features.names[0]), features.matrix, features.attention, {})
    with pytest.raises(UserError, match="there are none"):
        Features((), np.zeros((0, 8), np.float32), np.zeros((0, 0), np.float32), {})


def test_rows_follow_the_requested_names() -> None:
    features = make_features()
    names = [features.names[4], features.names[0]]
    assert features.rows(names).tolist() == [4, 0]
    np.testing.assert_array_equal(features.of(names), features.matrix[[4, 0]])
    with pytest.raises(UserError, match=r"2 of 3 images have none, first x\.jpg"):
        features.rows(["x.jpg", features.names[0], "y.jpg"])


def test_collapsed_features_are_refused() -> None:
    random = np.random.default_rng(2)
    for spread, collapsed in ((0.0, True), (1e-5, True), (0.05, False)):
        matrix = np.ones((50, 64)) + spread * random.standard_normal((50, 64))
        matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
        if collapsed:
            with pytest.raises(UserError, match="collapsed"):
                require_spread(matrix)
        else:
            require_spread(matrix)


def test_too_many_names_are_refused_before_an_image_is_read(
    toy: Toy, tiny_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "f.safetensors", ["ü.jpg", "b.jpg"]
    monkeypatch.setattr(features_file, "MOST_NAME_BYTES", len(r'"[\"\\u00fc.jpg\", \"b.jpg\"]"'))
    require_names_fit(path, names)
    with pytest.raises(
        UserError, match=r"f\.safetensors: .* about 2 such images, not of 3; split the list into several"
    ):
        require_names_fit(path, [*names, "c.jpg"])
    for image in (toy.dataset.root / "images").iterdir():
        image.unlink()
    with pytest.raises(UserError, match="a feature file holds the names of about"):
        extracted(toy, path)
    assert list(tmp_path.iterdir()) == []
