"""Malformed and malicious feature files: each is refused in one line, no header is trusted, nothing is executed."""

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
from helpers.toy.external import (
    NAMES,
    VALUES,
    naive_unit,
    npy_with_header,
    npz,
    packed,
    read_error,
    tensors,
    write_external,
)
from helpers.toy.masks import npy
from reid.features import external
from reid.features.external import read_external_features


def test_compressed_arrays_fortran_order_and_other_arrays_are_read(tmp_path: Path) -> None:
    arrays = {"names": np.array(NAMES), "features": np.asfortranarray(VALUES), "cameras": np.arange(6)}
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    matrix = read_external_features(tmp_path / "f.npz", NAMES).matrix
    np.testing.assert_allclose(matrix, naive_unit(VALUES), atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"names": np.array(NAMES, dtype=object)}, r"Object arrays cannot be loaded .*docs/features\.md"),
        (
            {"names": np.array([name.encode() for name in NAMES])},
            r"names is bytes.*write np\.array\(names, dtype=str\)",
        ),
        ({"names": np.arange(6)}, r"names is int64 \(6,\), expected text"),
        ({"names": np.array([NAMES])}, r"expected text \(N,\) with N up to 4,194,304"),
        ({"names": np.array(NAMES[:5])}, r"features is float64 \(6, 5\), expected .* \(5, C\), a row per name"),
        ({"names": np.array([], dtype=str)}, r"features is float64 \(6, 5\), expected .* \(0, C\)"),
        ({"features": VALUES.astype(np.complex64)}, r"features is complex64"),
        ({"features": (9 * VALUES).astype(int)}, r"features is int64"),
        ({"features": VALUES[:, 0]}, r"features is float64 \(6,\)"),
        ({"features": VALUES[:, :0]}, r"features is float64 \(6, 0\), .* C from 1 to 16,384"),
        ({"features": np.ones((6, 16385), np.float16)}, r"features is float16 \(6, 16385\)"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    assert re.search(words, read_error(npz(tmp_path / "f.npz", **arrays)))


def test_safetensors_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    for names in ("null", {"a": 1}, [1, 2, 3, 4, 5, 6], "text"):
        assert "has no JSON list `names`" in read_error(tensors(path, names))
    save_file({"features": VALUES}, path)
    assert "has no JSON list `names`" in read_error(path)
    save_file({"features": VALUES}, path, metadata={"names": "[" * 100_000})
    assert "damaged, or of another format" in read_error(path)
    save_file({"matrix": VALUES}, path, metadata={"names": json.dumps(NAMES)})
    assert "has no tensor `features`" in read_error(path)
    save_torch_file({"features": torch.ones(6, 5, dtype=torch.bfloat16)}, path, metadata={"names": json.dumps(NAMES)})
    assert "bfloat16" in read_error(path)  # numpy has it once onnx is imported


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", names=np.array(NAMES))
    assert "has no array `features`; docs/features.md shows how to write one" in read_error(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", VALUES)
    assert "has no array `names`" in read_error(tmp_path / "f.npz")


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in read_error(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "f.npy", VALUES)
    for name in ("folder.npz", "f.npy"):
        assert "features are read from a .npz or .safetensors file" in read_error(tmp_path / name)
    for name in ("f.npz", "f.safetensors"):
        for data in (b"", b"PK\x03\x04", b"x" * 500, b"\xff" * 500, (tmp_path / "f.npy").read_bytes()):
            (tmp_path / name).write_bytes(data)
            assert "damaged, or of another format" in read_error(tmp_path / name)


def reads_unchanged(path: Path) -> bool:
    """Return whether the file gives the features that were written; False if it is refused in one line."""
    try:
        features = read_external_features(path, NAMES)
    except UserError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return False
    np.testing.assert_allclose(features.matrix, naive_unit(VALUES), atol=1e-6)
    return True


def test_no_flipped_bit_of_an_archive_changes_the_features(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz")
    data = path.read_bytes()
    accepted = 0
    for offset in range(0, len(data), 2):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << (offset // 2 % 8)
        path.write_bytes(flipped)
        accepted += reads_unchanged(path)
    assert accepted < len(data) / 8  # dates and other fields that are not read


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = write_external(tmp_path, kind)
    data = path.read_bytes()
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        assert not reads_unchanged(path)


@pytest.mark.parametrize("kind", ["U0", "U9", "U500000000"])
def test_a_false_header_of_names_is_refused(tmp_path: Path, kind: str) -> None:
    names = npy_with_header(f"{{'descr': '<{kind}', 'fortran_order': False, 'shape': (1000000000000,)}}")
    read_error(packed(tmp_path / "f.npz", names=names, features=npy(VALUES)))


def test_too_many_names_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MAX_NAMES", 6)
    assert len(read_external_features(npz(tmp_path / "f.npz"), NAMES).names) == 6
    monkeypatch.setattr(external, "MAX_NAMES", 5)
    assert "expected text (N,) with N up to 5" in read_error(tmp_path / "f.npz")


def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MIN_LIMIT", 10_000)
    monkeypatch.setattr(external, "MAX_CHANNELS", 1)
    bomb, small = npy(np.zeros((6, 4000), np.float32)), npy(np.array(NAMES))
    first = packed(tmp_path / "f.npz", names=bomb, features=small)
    second = packed(tmp_path / "g.npz", names=small, features=bomb)
    large = tensors(tmp_path / "h.safetensors", features=np.ones((6, 2000)))
    assert first.stat().st_size < 2_000 and second.stat().st_size < 2_000
    words = "96,128 bytes exceed the limit of 10,000 for these images; remove rows that are not scored"
    assert words in read_error(second)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was opened"))
    assert words in read_error(first)
    monkeypatch.setattr(external, "sha256_of_file", lambda *_: pytest.fail("the file was read"))
    assert "bytes exceed the limit of 10,000" in read_error(large)


def test_a_false_member_size_is_refused(tmp_path: Path) -> None:
    """The archive's directory claims 120 bytes after the header, a million are unpacked."""
    header = npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 5)}")
    path = packed(tmp_path / "f.npz", names=npy(np.array(NAMES)), features=header + b"\1" * 1_000_000)
    size, claimed = struct.pack("<L", len(header) + 1_000_000), struct.pack("<L", len(header) + 120)
    path.write_bytes(path.read_bytes().replace(size, claimed))
    assert "Bad CRC-32" in read_error(path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("names.npy", npy(np.array(NAMES)))
    assert "uses a compression that numpy does not" in read_error(tmp_path / "f.npz")
