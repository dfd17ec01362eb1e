"""A gallery on disk: bit for bit the same, written atomically, tied to its model and its index."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_bytes
from data_cache.base.tensors import load_tensors, save_tensors
from helpers.places.api import random_entries
from vehicle_reid.gallery import approximate
from vehicle_reid.gallery import file as gallery_file
from vehicle_reid.gallery.approximate import FaissSearch
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.file import gallery_lock, make_index, read_gallery, write_gallery
from vehicle_reid.gallery.search import search

MODEL: dict[str, str | None] = {"checkpoint": "a" * 64, "detector": None}
KINDS = ("exact", *approximate.KINDS)


def write(folder: Path, kind: str, entries: Entries | None = None) -> Path:
    entries = random_entries(300) if entries is None else entries
    path = folder / "gallery.safetensors"
    write_gallery(path, entries, make_index(kind, entries, "cpu"), MODEL)
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


def assert_equal(found: Entries, wanted: Entries) -> None:
    assert found.names == wanted.names
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize(
    ("kind", "count"), [*((kind, 300) for kind in KINDS), ("exact", 0), ("flat", 0), ("exact", 1), ("ivf", 1)]
)
def test_a_gallery_is_read_back_bit_for_bit(tmp_path: Path, kind: str, count: int) -> None:
    entries = random_entries(count)
    path = write(tmp_path, kind, entries)
    before = contents(tmp_path)
    assert len(before) == (2 if kind in ("ivf", "ivfpq") else 1)
    found, index = read_gallery(path, MODEL, "cpu")
    assert_equal(found, entries)
    assert index.kind == kind
    write_gallery(path, found, index, MODEL)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoint": "b" * 64}, f"made with checkpoint = {'a' * 64}, this run needs {'b' * 64}"),
        ({"detector": "c"}, "made with detector = None, this run needs c"),
    ],
)
def test_a_gallery_of_another_model_is_refused_with_the_difference(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    path = write(tmp_path, "exact")
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: {words}; name the run and the detector"):
        read_gallery(path, {**MODEL, **changes}, "cpu")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "exact")
    tensors, metadata, _ = load_tensors(path, "")
    for change in ({"kind": "part detector"}, {"schema": 2}):
        save_tensors(path, tensors, metadata | change)
        with pytest.raises(UserError, match="not a gallery of schema 1"):
            read_gallery(path, MODEL, "cpu")
    save_tensors(path, {"names": tensors["names"]}, metadata)
    with pytest.raises(UserError, match="not a valid gallery"):
        read_gallery(path, MODEL, "cpu")
    with pytest.raises(UserError, match="no such gallery"):
        read_gallery(tmp_path / "other", MODEL, "cpu")


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("function", ["write_atomically", "save_tensors"])
def test_a_killed_save_leaves_the_old_gallery_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    path = write(tmp_path, "ivf")
    old = contents(tmp_path)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(gallery_file, function, kill)
        with pytest.raises(Killed):
            write(tmp_path, "ivf", random_entries(200, seed=5))
    assert old.items() <= contents(tmp_path).items()
    assert len(read_gallery(path, MODEL, "cpu")[0]) == 300 and capsys.readouterr().err == ""
    write(tmp_path, "ivf", random_entries(200, seed=5))  # removes what the killed save left
    assert len(contents(tmp_path)) == 2 and len(read_gallery(path, MODEL, "cpu")[0]) == 200


@pytest.mark.parametrize("fault", ["missing", "flipped", "another", "folder"])
def test_a_wrong_index_file_never_reaches_faiss_and_the_index_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = write(tmp_path, "ivf")
    (index_path,) = tmp_path.glob("*.faiss")
    data = index_path.read_bytes()
    index_path.unlink()
    if fault == "flipped":
        index_path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if fault == "another":
        other = random_entries(300, seed=9)
        index_path.write_bytes(FaissSearch.build("ivf", other.features, other.ids).to_bytes())
    if fault == "folder":
        index_path.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(FaissSearch, "from_bytes", lambda *_: pytest.fail("these bytes were given to faiss"))
        entries, index = read_gallery(path, MODEL, "cpu")
    message = rf"{index_path}: .*; building the index again from the features\n"
    assert re.fullmatch(message, capsys.readouterr().err)
    assert isinstance(index, FaissSearch) and sha256_of_bytes(index.to_bytes()) == sha256_of_bytes(data)
    assert search(index, entries.features[:9], 1).rows[:, 0].tolist() == list(range(9))


def test_saving_removes_the_replaced_index_and_no_other_file(tmp_path: Path) -> None:
    others = [tmp_path / "gallery.safetensors.mine.faiss", tmp_path / f"gallery.{'0' * 16}.faiss"]
    for other in others:
        other.write_bytes(b"")
    path = write(tmp_path, "ivf")
    first = {*tmp_path.glob("*.faiss")} - {*others}
    write(tmp_path, "ivf", random_entries(200))
    second = {*tmp_path.glob("*.faiss")} - {*others}
    assert len(first) == len(second) == 1 and first != second
    write(tmp_path, "exact")
    assert {*tmp_path.iterdir()} == {path, *others}


def test_the_lock_admits_one_run_and_keeps_unfinished_work(tmp_path: Path) -> None:
    path = tmp_path / "gallery.safetensors"
    for name in (f".{path.name}.abcdefgh.tmp", f".{path.name}.{'0' * 16}.faiss.abcdefgh.tmp"):
        (tmp_path / name).write_bytes(b"")
    with gallery_lock(path) as work:
        with pytest.raises(UserError, match=r"another run .* is writing here"), gallery_lock(path):
            pass
        assert [one.name for one in tmp_path.iterdir()] == [work.name]  # temporary files of killed runs are gone
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="mine"), gallery_lock(path) as work:
        (work / "kept").write_bytes(b"")
        raise UserError("mine")
    with gallery_lock(path):
        pass
    assert [one.name for one in work.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("cameras", lambda cameras: cameras[1:], "do not fit together"),
        ("names", lambda names: names[1:], "do not fit together"),
        ("names", lambda names: (*names[1:], names[1]), "occurs more than once"),
        ("ids", lambda ids: ids[::-1], "ids are not ascending"),
        ("features", lambda rows: rows * [[1], [1], [np.nan], [2]], "ü 0002.jpg: its feature is not of length 1"),
    ],
)
def test_invalid_entries_are_refused(field: str, change: Callable[[Any], Any], words: str) -> None:
    entries = random_entries(4)
    with pytest.raises(UserError, match=words):
        replace(entries, **{field: change(getattr(entries, field))})
