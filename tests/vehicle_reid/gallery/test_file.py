"""A gallery on disk: the same bit for bit, whole or the old one, of its own model alone; its index is tied to it."""

import errno
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_bytes
from data_cache.base.tensors import load_tensors, save_tensors
from helpers.places.api import random_entries
from soak.disk.traps import Trap, trapped
from vehicle_reid.gallery import approximate
from vehicle_reid.gallery import file as gallery_file
from vehicle_reid.gallery.approximate import FaissSearch
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.file import make_index, read_gallery, write_gallery, writing
from vehicle_reid.gallery.search import search

MODEL: dict[str, str | None] = {"checkpoint": "a" * 64, "detector": None}
KINDS = ("exact", *approximate.KINDS)


def written(folder: Path, kind: str, entries: Entries | None = None) -> Path:
    entries = random_entries(300) if entries is None else entries
    path = folder / "gallery.safetensors"
    write_gallery(path, entries, make_index(kind, entries, "cpu"), MODEL)
    return path


def index_of(path: Path) -> Path:
    (index,) = path.parent.glob("*.faiss")
    return index


def assert_same(found: Entries, wanted: Entries) -> None:
    assert found.names == wanted.names
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "count"), [*((kind, 300) for kind in KINDS), ("exact", 0), ("flat", 0), ("exact", 1), ("ivf", 1)]
)
def test_a_gallery_comes_back_bit_for_bit(tmp_path: Path, kind: str, count: int) -> None:
    entries = random_entries(count)
    path = written(tmp_path, kind, entries)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert len(before) == (2 if kind in ("ivf", "ivfpq") else 1)
    found, index = read_gallery(path, MODEL, "cpu")
    assert_same(found, entries)
    assert index.kind == kind
    write_gallery(path, found, index, MODEL)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_one_bit_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path, "exact")
    data = bytearray(path.read_bytes())
    data[-99] ^= 4
    path.write_bytes(data)
    with pytest.raises(
        UserError, match=r"its content has changed .*; build it again with `python cli.py gallery build`"
    ):
        read_gallery(path, MODEL, "cpu")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({**MODEL, "checkpoint": "b" * 64}, f"made with checkpoint = {'a' * 64}, this run needs {'b' * 64}"),
        ({**MODEL, "detector": "c"}, "made with detector = None, this run needs c"),
    ],
)
def test_a_gallery_of_another_model_is_refused_with_the_difference(
    tmp_path: Path, model: dict[str, str | None], words: str
) -> None:
    path = written(tmp_path, "exact")
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: {words}; name the run and the detector"):
        read_gallery(path, model, "cpu")


def test_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "exact")
    tensors, metadata, _ = load_tensors(path, "")
    for change in ({"kind": "part detector"}, {"schema": 2}):
        save_tensors(path, tensors, metadata | change)
        with pytest.raises(UserError, match="no gallery of schema 1"):
            read_gallery(path, MODEL, "cpu")
    save_tensors(path, {"names": tensors["names"]}, metadata)
    with pytest.raises(UserError, match="holds no gallery"):
        read_gallery(path, MODEL, "cpu")
    with pytest.raises(UserError, match="no such file"):
        read_gallery(tmp_path / "other", MODEL, "cpu")


class Killed(BaseException):
    """The end of a process, where a test wants it."""


@pytest.mark.parametrize("where", ["write_atomically", "save_tensors"])
def test_a_killed_save_leaves_the_old_gallery_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    path = written(tmp_path, "ivf")
    old = {one: one.read_bytes() for one in tmp_path.iterdir()}

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(gallery_file, where, kill)
        with pytest.raises(Killed):
            written(tmp_path, "ivf", random_entries(200, seed=5))
    assert {one: one.read_bytes() for one in old} == old
    entries, _ = read_gallery(path, MODEL, "cpu")
    assert len(entries) == 300 and capsys.readouterr().err == ""
    written(tmp_path, "ivf", random_entries(200, seed=5))  # and the next save clears up
    assert len(list(tmp_path.iterdir())) == 2 and len(read_gallery(path, MODEL, "cpu")[0]) == 200


@pytest.mark.parametrize("fault", ["missing", "flipped", "another", "folder"])
def test_an_index_that_is_not_its_own_never_reaches_faiss_and_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = written(tmp_path, "ivf")
    place = index_of(path)
    data = place.read_bytes()
    place.unlink()
    if fault == "flipped":
        place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if fault == "another":
        other = random_entries(300, seed=9)
        place.write_bytes(FaissSearch.build("ivf", other.features, other.ids).written())
    if fault == "folder":
        place.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(FaissSearch, "read", lambda *_: pytest.fail("these bytes were given to faiss"))
        entries, index = read_gallery(path, MODEL, "cpu")
    assert re.fullmatch(rf"{place}: .*; the index is built again from the features\n", capsys.readouterr().err)
    assert isinstance(index, FaissSearch) and sha256_of_bytes(index.written()) == sha256_of_bytes(data)
    assert search(index, entries.features[:9], 1).rows[:, 0].tolist() == list(range(9))


def test_an_index_that_was_replaced_is_removed_and_others_stay(tmp_path: Path) -> None:
    others = [tmp_path / "gallery.safetensors.mine.faiss", tmp_path / f"gallery.{'0' * 16}.faiss"]
    for other in others:
        other.write_bytes(b"")
    path = written(tmp_path, "ivf")
    first = {*tmp_path.glob("*.faiss")} - {*others}
    written(tmp_path, "ivf", random_entries(200))
    second = {*tmp_path.glob("*.faiss")} - {*others}
    assert len(first) == len(second) == 1 and first != second
    written(tmp_path, "exact")
    assert {*tmp_path.iterdir()} == {path, *others}


def test_one_run_at_a_time_and_what_is_kept_stays(tmp_path: Path) -> None:
    path = tmp_path / "gallery.safetensors"
    strays = [f".{path.name}.abcdefgh.tmp", f".{path.name}.{'0' * 16}.faiss.abcdefgh.tmp"]
    for stray in strays:
        (tmp_path / stray).write_bytes(b"")
    with writing(path) as work:
        with pytest.raises(UserError, match=r"another run .* is writing here"), writing(path):
            pass
        assert [one.name for one in tmp_path.iterdir()] == [work.name]  # what killed runs left has gone
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="mine"), writing(path) as work:
        (work / "kept").write_bytes(b"")
        raise UserError("mine")
    with writing(path):
        pass
    assert [one.name for one in work.iterdir()] == ["kept"]


def test_entries_that_do_not_fit_are_refused() -> None:
    entries = random_entries(4)
    arrays = {name: getattr(entries, name) for name in ARRAYS}

    def refused(words: str, **changes: Any) -> None:
        with pytest.raises(UserError, match=words):
            Entries(changes.pop("names", entries.names), **{**arrays, **changes})

    refused("do not fit together", cameras=entries.cameras[1:])
    refused("do not fit together", names=entries.names[1:])
    refused("named twice", names=(*entries.names[:3], entries.names[0]))
    refused("the ids do not rise", ids=entries.ids[::-1])
    refused("ü 0002.jpg: its feature is not of length 1", features=entries.features * [[1], [1], [np.nan], [2]])


def test_an_old_index_that_cannot_be_removed_is_told_and_the_gallery_is_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "ivf")
    old = index_of(path)
    with trapped(Trap(tmp_path, 1, errno.EIO, lasting=True, only=("unlink",))):
        written(tmp_path, "exact")
    assert capsys.readouterr().err == f"{old}: cannot be removed (Input/output error)\n"
    assert read_gallery(path, MODEL, "cpu")[1].kind == "exact"
    written(tmp_path, "exact")
    assert list(tmp_path.iterdir()) == [path]
