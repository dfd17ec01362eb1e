"""Files of another system's features: each fault of form is one line, no claim is believed, nothing runs."""

import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from data_cache.base.errors import UserError
from helpers.toy.external import NAMES, PROMISED, npy_bytes, npy_claiming, npz, one_line, packed, tensors, unit
from reid.features import external as given_features
from reid.features import external as given_files
from reid.features.external import read_given_features


def test_arrays_may_be_compressed_lie_by_columns_and_have_company(tmp_path: Path) -> None:
    arrays = {"names": np.array(NAMES), "features": np.asfortranarray(PROMISED), "cameras": np.arange(6)}
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    np.testing.assert_allclose(read_given_features(tmp_path / "f.npz", NAMES).matrix, unit(PROMISED), atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"names": np.array(NAMES, dtype=object)}, r"names is object \(6,\).*np\.array\(names, dtype=str\)"),
        ({"names": np.array([name.encode() for name in NAMES])}, r"names is bytes"),
        ({"names": np.arange(6)}, r"names is int64 \(6,\), not text"),
        ({"names": np.array([NAMES])}, r"not text \(N,\) with N up to 4,194,304"),
        ({"names": np.array(NAMES[:5])}, r"features is float64 \(6, 5\), not .* \(5, C\), a row a name"),
        ({"names": np.array([], dtype=str)}, r"features is float64 \(6, 5\), not .* \(0, C\)"),
        ({"features": PROMISED.astype(object)}, r"features is object \(6, 5\), not float16, float32 or float64"),
        ({"features": PROMISED.astype(np.complex64)}, r"features is complex64"),
        ({"features": (9 * PROMISED).astype(int)}, r"features is int64"),
        ({"features": PROMISED[:, 0]}, r"features is float64 \(6,\)"),
        ({"features": PROMISED[:, :0]}, r"features is float64 \(6, 0\), .* C from 1 to 16,384"),
        ({"features": np.ones((6, 16385), np.float16)}, r"features is float16 \(6, 16385\)"),
    ],
)
def test_an_array_of_another_form_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    assert re.search(words, one_line(npz(tmp_path / "f.npz", **arrays)))


def test_a_pickle_does_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (tmp_path / "harm").touch, ()

    harm = np.empty(6, dtype=object)
    harm[:] = [Harm() for _ in range(6)]
    assert "names is object" in one_line(npz(tmp_path / "f.npz", names=harm))
    (tmp_path / "g.npz").write_bytes((tmp_path / "f.npz").read_bytes()[60:])
    one_line(tmp_path / "g.npz")
    assert not (tmp_path / "harm").exists()


def test_tensors_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    for names in ("null", {"a": 1}, [1, 2, 3, 4, 5, 6], "text"):
        assert "holds no JSON list `names`" in one_line(tensors(path, names))
    save_file({"features": PROMISED}, path)
    assert "holds no JSON list `names`" in one_line(path)
    save_file({"features": PROMISED}, path, metadata={"names": "[" * 100_000})
    assert "damaged, or of another form" in one_line(path)
    save_file({"matrix": PROMISED}, path, metadata={"names": json.dumps(NAMES)})
    assert "holds no tensor `features`" in one_line(path)
    save_torch_file({"features": torch.ones(6, 5, dtype=torch.bfloat16)}, path, metadata={"names": json.dumps(NAMES)})
    assert re.search(r"features is BF16 \(6, 5\), not float16, float32 or float64", one_line(path))


def test_arrays_that_are_not_there_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", names=np.array(NAMES))
    assert "holds no array `features`; docs/features.md shows how to write one" in one_line(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", PROMISED)
    assert "holds no array `names`" in one_line(tmp_path / "f.npz")


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    assert "no such file" in one_line(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "f.npy", PROMISED)
    for name in ("folder.npz", "f.npy"):
        assert "features are read from a file .npz or .safetensors" in one_line(tmp_path / name)
    for name in ("f.npz", "f.safetensors"):
        for data in (b"", b"PK\x03\x04", b"x" * 500, b"\xff" * 500, (tmp_path / "f.npy").read_bytes()):
            (tmp_path / name).write_bytes(data)
            assert "damaged, or of another form" in one_line(tmp_path / name)


def sound(path: Path) -> bool:
    """Whether the file is read as what was promised; False where it is refused in one line."""
    try:
        found = read_given_features(path, NAMES)
    except UserError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return False
    np.testing.assert_allclose(found.matrix, unit(PROMISED), atol=1e-6)
    return True


def test_no_flipped_bit_of_an_archive_gives_other_features(tmp_path: Path) -> None:
    data = npz(tmp_path / "f.npz").read_bytes()
    read = 0
    for place in range(0, len(data), 2):
        (tmp_path / "f.npz").write_bytes(
            data[:place] + bytes([data[place] ^ (1 << (place // 2 % 8))]) + data[place + 1 :]
        )
        read += sound(tmp_path / "f.npz")
    assert read < len(data) / 8  # dates and the like, which no one reads


@pytest.mark.parametrize("write", [npz, tensors])
def test_a_cut_file_is_refused(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / ("f.npz" if write is npz else "f.safetensors"))
    data = path.read_bytes()
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        assert not sound(path)


CLAIMS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 16384)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 1000000000000)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-6, -5)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 0)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 5)}",
    "{'descr': ('<f4', (9999999,)), 'fortran_order': False, 'shape': (6, 5)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6, 5)}",
    "{'descr': '<f3', 'fortran_order': False, 'shape': (6, 5)}",
    "{'descr': '<f4', 'fortran_order': False}",
    "((((",
    "-" * 100,
    "__import__('os').getpid()",
    "",
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_header_is_not_believed(tmp_path: Path, claim: str) -> None:
    path = packed(tmp_path / "f.npz", names=npy_bytes(np.array(NAMES)), features=npy_claiming(claim, b"\0" * 120))
    one_line(path)


@pytest.mark.parametrize(
    "claim", ["'<U0', 'shape': (1000000000000,)", "'<U500000000', 'shape': (6,)", "'<U9', 'shape': (1000000000000,)"]
)
def test_a_header_of_names_is_not_believed(tmp_path: Path, claim: str) -> None:
    header = npy_claiming("{'fortran_order': False, 'descr': " + claim + "}")
    one_line(packed(tmp_path / "f.npz", names=header, features=npy_bytes(PROMISED)))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_may_be_of_both_versions_that_have_a_plain_header(tmp_path: Path, version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, PROMISED, version)
    path = packed(tmp_path / "f.npz", names=npy_bytes(np.array(NAMES)), features=file.getvalue())
    if version == (3, 0):  # of fields whose names are not Latin
        assert "damaged, or of another form" in one_line(path)
    else:
        assert read_given_features(path, NAMES).matrix.shape == (6, 5)


def test_more_names_than_any_data_set_has_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_files, "MOST_NAMES", 6)
    assert len(read_given_features(npz(tmp_path / "f.npz"), NAMES).names) == 6
    monkeypatch.setattr(given_files, "MOST_NAMES", 5)
    assert "not text (N,) with N up to 5" in one_line(tmp_path / "f.npz")


def test_a_bomb_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_features, "LEAST_LIMIT", 10_000)
    monkeypatch.setattr(given_features, "MOST_CHANNELS", 1)
    bomb, small = npy_bytes(np.zeros((6, 4000), np.float32)), npy_bytes(np.array(NAMES))
    first = packed(tmp_path / "f.npz", names=bomb, features=small)
    second = packed(tmp_path / "g.npz", names=small, features=bomb)
    large = tensors(tmp_path / "h.safetensors", features=np.ones((6, 2000)))
    assert first.stat().st_size < 2_000 and second.stat().st_size < 2_000
    words = "96,128 bytes are more than the 10,000 that are read for these images; leave out what is not scored"
    assert words in one_line(second)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was opened"))
    assert words in one_line(first)
    monkeypatch.setattr(given_features, "sha256_of_file", lambda *_: pytest.fail("the file was read"))
    assert "bytes are more than the 10,000" in one_line(large)


def test_a_size_that_the_archive_lies_about_is_not_believed(tmp_path: Path) -> None:
    """The directory says that 120 bytes follow the header; a million do when they are unpacked."""
    header = npy_claiming(CLAIMS[0].replace("16384", "5"))
    path = packed(tmp_path / "f.npz", names=npy_bytes(np.array(NAMES)), features=header + b"\1" * 1_000_000)
    size, said = struct.pack("<L", len(header) + 1_000_000), struct.pack("<L", len(header) + 120)
    path.write_bytes(path.read_bytes().replace(size, said))
    assert "Bad CRC-32" in one_line(path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("names.npy", npy_bytes(np.array(NAMES)))
    assert "compressed in a way that numpy does not use" in one_line(tmp_path / "f.npz")
