"""Features of another system: matched by name, normalised to length 1, or refused in one line."""

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import main
from data_cache.base.files import sha256_of_file
from helpers.paths import ROOT
from helpers.toy.external import NAMES, VALUES, naive_unit, npz, read_error, tensors, write_external
from reid.features import external
from reid.features.external import read_external_features
from reid.features.file import Features, write_features

KINDS = ["npz", "safetensors"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("write", [npz, tensors])
def test_rows_have_length_one_in_the_order_asked_for(tmp_path: Path, dtype: str, write: Any) -> None:
    values = VALUES.astype(dtype)
    path = write(tmp_path / ("f.NPZ.npz" if write is npz else "f.safetensors"), features=np.ascontiguousarray(values))
    names = [NAMES[4], NAMES[0], NAMES[3]]
    features = read_external_features(path, names)
    assert features.names == tuple(names) and features.matrix.dtype == np.float32
    assert features.attention.shape == (3, 0)
    np.testing.assert_allclose(features.matrix, naive_unit(values[[4, 0, 3]]), atol=1e-6)
    assert features.provenance == {"file": path.name, "sha256": sha256_of_file(path)}


@pytest.mark.parametrize("scale", [1e-200, 1e200, 5e-324])
def test_rows_of_any_length_are_normalised(tmp_path: Path, scale: float) -> None:
    path = npz(tmp_path / "f.npz", features=np.sign(VALUES) * scale)
    np.testing.assert_allclose(read_external_features(path, NAMES).matrix, np.sign(VALUES) / 5**0.5, atol=1e-6)


def test_blocks_of_rows_give_the_same_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_external_features(npz(tmp_path / "f.npz"), NAMES)
    monkeypatch.setattr(external, "ROWS", 4)
    np.testing.assert_array_equal(read_external_features(tmp_path / "f.npz", NAMES).matrix, whole.matrix)


def write_own(path: Path) -> Features:
    matrix = np.array(naive_unit(VALUES), np.float32)
    features = Features(tuple(NAMES), matrix, np.full((6, 2), 0.5, np.float32), {"weights": "abc"})
    write_features(path, features)
    return features


def test_our_own_file_is_read_unchanged_and_verified(tmp_path: Path) -> None:
    path = tmp_path / "features.safetensors"
    own = write_own(path)
    features = read_external_features(path, NAMES[::-1])
    np.testing.assert_array_equal(features.matrix, own.matrix[::-1])
    assert features.attention.shape == (6, 0) and features.provenance["provenance"] == {"weights": "abc"}
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert "its content has changed" in read_error(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "is not finite"), (np.inf, "is not finite"), (-np.inf, "is not finite"), (0, "is zero")],
)
def test_an_invalid_row_is_refused_with_its_image(tmp_path: Path, kind: str, value: float, words: str) -> None:
    values = VALUES.copy()
    values[[2, 4]] = value
    path = write_external(tmp_path, kind, features=values)
    assert f"ü 2.jpg: its feature {words} (2 such images)" in read_error(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"ü 4.jpg: its feature {words} (1 such images)" in read_error(path, NAMES[3:])
        assert len(read_external_features(path, NAMES[:2]).names) == 2  # rows that are not scored may be invalid


@pytest.mark.parametrize("kind", KINDS)
def test_duplicate_and_missing_names_are_refused(tmp_path: Path, kind: str) -> None:
    def error(*names: str) -> str:
        return read_error(write_external(tmp_path, kind, list(names)))

    assert "'images/ü 0.jpg' is named more than once (1 duplicates in all)" in error(*NAMES[:5], NAMES[0])
    missing = "2 of 6 images have no feature, first images/ü 4.jpg; the file names 6 images, first 'images/ü 0.jpg'"
    assert missing in error(*NAMES[:4], "x", "y")
    base_names = [name.removeprefix("images/") for name in NAMES]
    for folder in ("", "other/", "C:\\images\\"):
        words = f"6 of them match by file name only, {folder + base_names[0]!r} for {NAMES[0]}: write each"
        assert words in error(*(folder + name for name in base_names))


@pytest.fixture
def page() -> str:
    return (ROOT / "docs" / "features.md").read_text(encoding="utf-8")


def test_the_examples_of_the_documentation_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    as_npz, as_safetensors, reading = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(as_npz, scope)
    exec(as_safetensors, scope)
    names, features = scope["names"], scope["features"]
    for name in ("theirs.npz", "theirs.safetensors"):
        np.testing.assert_allclose(
            read_external_features(tmp_path / name, names).matrix, naive_unit(features), atol=1e-6
        )
    own = write_own(tmp_path / "features.safetensors")
    exec(reading, scope)
    assert scope["names"] == NAMES
    np.testing.assert_array_equal(scope["features"], own.matrix)


def test_the_documentation_has_the_command_and_the_limits(page: str) -> None:
    (line,) = re.findall(r"^python cli\.py (evaluate .*)$", page, flags=re.MULTILINE)
    command, *options = shlex.split(line)
    assert main.commands[command].make_context(command, options).params["features_file"] == Path("theirs.npz")
    limits = (external.MAX_CHANNELS, external.MAX_NAMES, external.MAX_CHANNELS * 8)
    assert all(f"{limit:,}" in page for limit in limits) and f"{external.MIN_LIMIT // 2**20} MiB" in page
