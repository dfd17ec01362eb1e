"""Features of another system: matched by name, brought to length 1, and refused in one line where that cannot be."""

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
from helpers.toy.external import NAMES, PROMISED, npz, one_line, tensors, unit
from reid.features import external as given_features
from reid.features import external as given_files
from reid.features.external import read_given_features
from reid.features.file import Features, write_features


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("write", [npz, tensors])
def test_rows_have_length_one_and_come_as_asked_for(tmp_path: Path, kind: str, write: Any) -> None:
    given = PROMISED.astype(kind)
    path = write(tmp_path / ("f.NPZ.npz" if write is npz else "f.safetensors"), features=np.ascontiguousarray(given))
    asked = [NAMES[4], NAMES[0], NAMES[3]]
    found = read_given_features(path, asked)
    assert found.names == tuple(asked) and found.matrix.dtype == np.float32 and found.attention.shape == (3, 0)
    np.testing.assert_allclose(found.matrix, unit(given[[4, 0, 3]]), atol=1e-6)
    assert found.provenance == {"file": path.name, "sha256": sha256_of_file(path)}


@pytest.mark.parametrize("scale", [1e-200, 1e200, 5e-324])
def test_the_length_of_a_row_does_not_matter(tmp_path: Path, scale: float) -> None:
    path = npz(tmp_path / "f.npz", features=np.sign(PROMISED) * scale)
    np.testing.assert_allclose(read_given_features(path, NAMES).matrix, np.sign(PROMISED) / 5**0.5, atol=1e-6)


def test_many_rows_are_those_of_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_given_features(npz(tmp_path / "f.npz"), NAMES)
    monkeypatch.setattr(given_features, "ROWS", 4)
    np.testing.assert_array_equal(read_given_features(tmp_path / "f.npz", NAMES).matrix, whole.matrix)


def own(path: Path) -> Features:
    matrix = np.array(unit(PROMISED), np.float32)
    features = Features(tuple(NAMES), matrix, np.full((6, 2), 0.5, np.float32), {"weights": "abc"})
    write_features(path, features)
    return features


def test_a_file_of_ours_is_taken_as_it_is(tmp_path: Path) -> None:
    wanted = own(tmp_path / "features.safetensors")
    found = read_given_features(tmp_path / "features.safetensors", NAMES[::-1])
    np.testing.assert_array_equal(found.matrix, wanted.matrix[::-1])
    assert found.attention.shape == (6, 0) and found.provenance["provenance"] == {"weights": "abc"}


def test_a_changed_bit_of_ours_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "features.safetensors"
    own(path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert "its content has changed" in one_line(path)


@pytest.mark.parametrize("write", [npz, tensors])
@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "is not finite"), (np.inf, "is not finite"), (-np.inf, "is not finite"), (0, "is zero")],
)
def test_a_spoilt_row_is_refused_with_its_image(tmp_path: Path, write: Any, value: float, words: str) -> None:
    spoilt = PROMISED.copy()
    spoilt[[2, 4]] = value
    path = write(tmp_path / ("f.npz" if write is npz else "f.safetensors"), features=spoilt)
    assert f"ü 2.jpg: its feature {words} (2 such images)" in one_line(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"ü 4.jpg: its feature {words} (1 such images)" in one_line(path, NAMES[3:])
        assert len(read_given_features(path, NAMES[:2]).names) == 2  # what is not scored is not judged


@pytest.mark.parametrize("write", [npz, tensors])
def test_names_that_do_not_fit_are_told(tmp_path: Path, write: Any) -> None:
    def given(*names: str) -> Path:
        path = tmp_path / ("f.npz" if write is npz else "f.safetensors")
        return Path(write(path, names=np.array(names) if write is npz else list(names)))

    assert "'images/ü 0.jpg' is named more than once (1 rows too many)" in one_line(given(*NAMES[:5], NAMES[0]))
    message = one_line(given(*NAMES[:4], "x", "y"))
    assert (
        "2 of 6 images have no feature, first images/ü 4.jpg; the file names 6 images, first 'images/ü 0.jpg'"
        in message
    )
    bare = [name.removeprefix("images/") for name in NAMES]
    for folder in ("", "other/", "C:\\images\\"):
        message = one_line(given(*(folder + name for name in bare)))
        assert f"6 of them are there by file name alone, {folder + bare[0]!r} for {NAMES[0]}: write each" in message


@pytest.fixture
def page() -> str:
    return (ROOT / "docs" / "features.md").read_text(encoding="utf-8")


def test_the_examples_of_the_documentation_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place: dict[str, Any] = {}
    as_npz, as_safetensors, reading = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(as_npz, place)
    exec(as_safetensors, place)
    names, features = place["names"], place["features"]
    for name in ("theirs.npz", "theirs.safetensors"):
        np.testing.assert_allclose(read_given_features(tmp_path / name, names).matrix, unit(features), atol=1e-6)
    wanted = own(tmp_path / "features.safetensors")
    exec(reading, place)
    assert place["names"] == NAMES
    np.testing.assert_array_equal(place["features"], wanted.matrix)


def test_the_command_of_the_documentation_can_be_parsed(page: str) -> None:
    (line,) = re.findall(r"^python cli\.py (.*)$", page, flags=re.MULTILINE)
    command, *options = shlex.split(line)
    assert main.commands[command].make_context(command, options).params["given"] == Path("theirs.npz")


def test_the_documentation_tells_the_limits(page: str) -> None:
    assert f"C up to {given_files.MOST_CHANNELS:,}" in page
    assert f"may be {given_files.MOST_NAMES:,} names" in page
    assert f"{given_files.MOST_CHANNELS * 8:,} bytes for each image" in page
    assert f"or {given_features.LEAST_LIMIT // 2**20} MiB where that is more" in page
