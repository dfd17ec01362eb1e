"""Galleries of earlier versions, files as they wrote them, are converted; the folder of unfinished work is locked."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.tensors import load_tensors, save_tensors
from helpers.places.api import random_entries
from helpers.places.stored import MODEL, assert_same, write_old
from vehicle_reid.gallery.lance.store import LanceStore
from vehicle_reid.gallery.old_file import convert, read_old
from vehicle_reid.gallery.work import work_folder


@pytest.mark.parametrize(
    ("count", "index", "wanted"), [(0, "exact", "exact"), (30, "flat", "exact"), (30, "ivfpq", "approximate")]
)
def test_an_old_file_is_converted_bit_for_bit(tmp_path: Path, count: int, index: str, wanted: str) -> None:
    entries = random_entries(count)
    write_old(tmp_path / "g.safetensors", entries, index)
    before = (tmp_path / "g.safetensors").read_bytes()
    store = convert(tmp_path / "g.safetensors", str(tmp_path / "g"))
    assert store.header.index == wanted and (tmp_path / "g.safetensors").read_bytes() == before
    again = LanceStore.open(str(tmp_path / "g"), MODEL)
    assert again.check() == count
    assert_same(again.entries(), entries)


def test_other_files_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    write_old(path, random_entries(3))
    tensors, metadata, _ = load_tensors(path, "")
    for change in ({"kind": "part detector"}, {"schema": 2}):
        save_tensors(path, tensors, metadata | change)
        with pytest.raises(UserError, match="not a gallery of schema 1"):
            convert(path, str(tmp_path / "g"))
    save_tensors(path, {"names": tensors["names"]}, metadata)
    with pytest.raises(UserError, match="not a valid gallery"):
        convert(path, str(tmp_path / "g"))
    with pytest.raises(UserError, match="no such file"):
        read_old(tmp_path / "other")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=str(path)):
        read_old(path)
    assert {*tmp_path.iterdir()} == {path}


def test_the_lock_admits_one_run_and_keeps_unfinished_work(tmp_path: Path) -> None:
    address = str(tmp_path / "gallery")
    with work_folder(address, tmp_path) as work:
        assert work == tmp_path / "gallery.work"
        with pytest.raises(UserError, match=r"another run .* is writing here"), work_folder(address, tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="mine"), work_folder(address, tmp_path) as work:
        (work / "kept").write_bytes(b"")
        raise UserError("mine")
    with work_folder(address, tmp_path):
        pass
    assert [one.name for one in work.iterdir()] == ["kept"]
    with work_folder("s3://bucket/gallery", tmp_path / "run") as work:
        assert work.parent == tmp_path / "run"
