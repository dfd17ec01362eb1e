"""A gallery in LanceDB after kill -9 and power failures: what was acknowledged is there, and it opens."""

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from data_cache.base import files
from data_cache.base.errors import UserError
from helpers.faults.processes import start, waited
from helpers.places.stored import MODEL, assert_same, numbered, opened, report_names, stored, write_batches
from vehicle_reid.gallery.lance import upkeep
from vehicle_reid.gallery.lance.files import FLUSHED, manifests
from vehicle_reid.gallery.lance.store import TABLE, LanceStore


def names_of(acknowledged: list[int]) -> list[str]:
    """Return the names that are there after these batches of the writer."""
    return [f"n{one}" for number in acknowledged for one in range(number, number + 3) if one > number or number % 4]


def test_what_a_killed_writer_acknowledged_is_there(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(0))
    kept: list[str] = []
    for turn, batches in enumerate((1, 4, 9, 14, 6)):
        writer = start(write_batches, [store.address, str(3000 * turn)], tmp_path / f"{turn}.log")
        assert waited(lambda run=writer, lines=batches: len(run.output().splitlines()) >= lines), writer.output()
        writer.send(signal.SIGKILL, group=True)
        acknowledged = [int(line) for line in writer.wait().output.splitlines()]
        found = opened(store).entries().names
        wanted = kept + names_of(acknowledged)
        unfinished = {f"n{acknowledged[-1] + 3 + one}" for one in range(3)}  # added, perhaps, but not acknowledged
        assert set(wanted) <= set(found) and set(found) - set(wanted) <= unfinished
        kept = list(found)
        assert opened(store).check() == len(kept)
    store.add(numbered(2, 90_000))  # no lock is left
    assert opened(store).check() == len(kept) + 2


def test_a_reader_in_another_process_sees_every_change(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(2))
    reader = start(report_names, [store.address], tmp_path / "log")

    def sees() -> bool:
        wanted = " ".join(["names", *store.entries().names])
        return waited(lambda: reader.output().splitlines()[-1:] == [wanted])

    assert sees()
    for number in range(2, 12):
        store.add(numbered(1, number))
        assert sees()
    store.remove(["n3", "n11"])
    assert sees()
    store.optimize()
    store.add(numbered(1, 20))
    assert sees(), reader.output()
    store.remove(store.entries().names)
    assert reader.wait().code == 0


def test_all_new_files_and_their_folders_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "INDEXED_FROM", 300)
    flushed: set[Path] = set()

    def fsync(descriptor: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(files.os, "fsync", fsync)
    store = stored(tmp_path, numbered(2))
    assert all_paths(tmp_path) <= flushed
    changes = [
        lambda: store.add(numbered(3, 10)),
        lambda: store.remove(["n0", "n12"]),
        store.optimize,
        lambda: store.add(numbered(400, 100)),  # makes indices
        lambda: opened(store).add(numbered(1, 600)),
    ]
    for change in changes:
        before = all_paths(tmp_path)
        flushed.clear()
        change()
        new = {path for path in all_paths(tmp_path) - before if path.is_file()}
        assert new and new | {path.parent for path in new} <= flushed
    assert all_paths(Path(store.address)) <= flushed  # the first change of a process flushes what others left


def all_paths(folder: Path) -> set[Path]:
    """Return a folder and everything in it, but for the file that is written atomically, under another name first."""
    return {folder, *(path for path in folder.rglob("*") if path.name != FLUSHED)}


def interrupt_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be flushed any more, as if the power failed before."""
    monkeypatch.setattr(LanceStore, "_flush", lambda _: None)


def newest(paths: Iterator[Path]) -> Path:
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("content", [b"", b"cut off"])
@pytest.mark.parametrize("torn", ["_versions/*.manifest", "data/*.lance"])
def test_a_change_that_a_power_failure_tore_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], torn: str, content: bytes
) -> None:
    store = stored(tmp_path, numbered(4))
    store.add(numbered(2, 4))
    before = store.entries()
    with monkeypatch.context() as patch:
        interrupt_flushing(patch)
        store.add(numbered(3, 6))
    table = Path(store.address) / f"{TABLE}.lance"
    newest(table.glob(torn)).write_bytes(content)
    name = manifests(table)[0]
    store = opened(store)
    assert f"{name}: a power failure damaged this last change; it is set aside" in capsys.readouterr().err
    assert_same(store.entries(), before)
    store.add(numbered(3, 6))
    assert opened(store).check() == 9 and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("torn", "merged", "names"),
    [
        ("_deletions/*", False, range(250)),  # the removal is lost, and what came after it
        ("_deletions/*", True, [0, *range(2, 350)]),  # after a merge no file of deletions is used
        ("data/*.lance", True, [0, *range(2, 250)]),
        ("_indices/*/*", True, [0, *range(2, 350)]),
    ],
)
def test_the_newest_version_whose_files_are_whole_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: str, merged: bool, names: Iterable[int]
) -> None:
    store = stored(tmp_path, numbered(200))
    store.add(numbered(50, 200))
    table, version = Path(store.address) / f"{TABLE}.lance", store.version
    flushed = {*table.glob(torn)}
    with monkeypatch.context() as patch:
        interrupt_flushing(patch)
        patch.setattr(upkeep, "INDEXED_FROM", 300 if merged else 10**6)  # making indices takes several commits
        store.remove(["n1"])
        store.add(numbered(50, 250))
        store.add(numbered(50, 300))
    assert (store.version > version + 6) == merged
    for path in {*table.glob(torn)} - flushed:
        path.write_bytes(b"")
    store = opened(store)
    assert store.entries().names == tuple(f"n{number}" for number in names) and store.check() == store.count()
    store.add(numbered(50, 400))
    assert opened(store).check() == store.count()


@pytest.mark.parametrize("torn", ["_versions/*.manifest", "data/*.lance"])
def test_damage_to_what_was_flushed_is_an_error_and_nothing_is_set_aside(tmp_path: Path, torn: str) -> None:
    store = stored(tmp_path, numbered(4))
    table = Path(store.address) / f"{TABLE}.lance"
    store.add(numbered(2, 4))
    newest(table.glob(torn)).write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{store.address}: cannot be used .*build it again"):
        opened(store)
    assert len(manifests(table)) == 2


def test_a_gallery_that_was_never_saved_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_flushing(monkeypatch)
    store = stored(tmp_path, numbered(4))
    (manifest,) = manifests(Path(store.address) / f"{TABLE}.lance")
    manifest.write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{store.address}: .*a power failure damaged it before it was saved; delete"):
        LanceStore.open(store.address, MODEL)
