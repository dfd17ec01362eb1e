"""A gallery in LanceDB: what is read is what was added, changes are whole or not at all, searches miss nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lancedb
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import random_matrix
from helpers.places.stored import MODEL, assert_same, named, numbered, opened, stored
from vehicle_reid.gallery.lance import upkeep
from vehicle_reid.gallery.lance.store import TABLE, LanceStore
from vehicle_reid.gallery.store import StoreFault


def test_a_reader_stays_at_its_version_until_it_refreshes(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    reader = opened(store)
    store.remove(["n0"])
    store.optimize()
    assert reader.entries().names == ("n0", "n1", "n2")
    reader.refresh()
    assert reader.entries().names == ("n1", "n2")


def test_refusals_leave_no_files(tmp_path: Path) -> None:
    entries = replace(numbered(5), features=random_matrix(5, 12))
    with pytest.raises(UserError, match="index approximate: needs a multiple of 8 channels"):
        stored(tmp_path, entries, "approximate")
    assert not list(tmp_path.iterdir())
    stored(tmp_path, entries)
    with pytest.raises(UserError, match="the gallery already exists"):
        stored(tmp_path, entries)
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]  # no lock, no second gallery


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(1))

    def write(number: int) -> None:
        opened(store).add(numbered(3, 10 * number))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(1, 9)))
    store.refresh()
    assert store.check() == 25 and sorted(store.entries().ids.tolist()) == list(range(25))


def test_an_address_without_a_folder_needs_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LanceStore.create("memory://gallery", numbered(4), model=MODEL)
    store.add(numbered(3, 4))
    store.remove(["n0"])
    assert store.check() == 6 and not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"^foo://gallery: cannot be used .*No object store provider"):
        LanceStore.open("foo://gallery", MODEL)


# upkeep


def indexed(store: LanceStore) -> dict[str, int]:
    """Return how many rows each index has."""
    return {index.columns[0]: index.num_indexed_rows for index in table(store).list_indices()}


def table(store: LanceStore) -> lancedb.table.LanceTable:
    return lancedb.connect(store.address).open_table(TABLE)


@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_a_growing_gallery_gets_indices_that_grow_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setattr(upkeep, "INDEXED_FROM", 300)
    store = stored(tmp_path, numbered(200), index)
    assert indexed(store) == {}
    sizes = []
    for first in range(200, 1400, 100):
        store.add(numbered(100, first))
        rows = indexed(store)
        assert set(rows) == {"id", "name", "time", "camera", *(["feature"] if index == "approximate" else [])}
        assert min(rows.values()) >= 0.95 * store.count()
        sizes.append(upkeep.noted(store._table, upkeep.INDEXED_ROWS))
    assert sizes[0] == 300 and sizes[-1] == 1300 and len(set(sizes)) == 2  # trained twice
    assert store.check() == 1400


def test_many_small_changes_leave_few_files_and_no_old_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "KEPT", upkeep.KEPT * 0)
    monkeypatch.setattr(upkeep, "timedelta", lambda **_: upkeep.KEPT)
    store = stored(tmp_path, numbered(10))
    reader = opened(store)
    for number in range(10, 60):
        store.add(numbered(1, number))
        assert reader.entries().names == store.entries().names[:number]
        reader.refresh()
    assert table(store).stats()["fragment_stats"]["num_fragments"] <= upkeep.FEWEST_FILES + 1
    assert len(table(store).list_versions()) <= 2 * upkeep.FEWEST_FILES
    assert store.check() == 60


def test_a_snapshot_is_of_files_that_are_there_though_the_store_was_long_not_refreshed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's list and photos read snapshots; another process tidies up what is older than KEPT."""
    store = stored(tmp_path, numbered(5))
    reader = opened(store)
    assert reader.snapshot().entries().names == store.entries().names
    monkeypatch.setattr(upkeep, "KEPT", upkeep.KEPT * 0)
    monkeypatch.setattr(upkeep, "timedelta", lambda **_: upkeep.KEPT)
    store.remove(["n0"])
    store.optimize()
    monkeypatch.setattr("vehicle_reid.gallery.lance.store.FRESH", 0.0)  # as if an hour had passed
    assert reader.snapshot().entries().names == store.entries().names == ("n1", "n2", "n3", "n4")
    monkeypatch.setattr("vehicle_reid.gallery.lance.store.FRESH", 900.0)
    known = reader.snapshot()
    assert known.entries().names == store.entries().names and reader.snapshot() is known


def test_a_gallery_may_be_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = LanceStore.create(".", numbered(3), model=MODEL)
    store.remove(["n0"])
    assert LanceStore.open(".", MODEL).count() == 2 and store.check() == 2


def test_the_memory_that_versions_take_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most, sessions, session = 1 << 20, [], lancedb.Session
    monkeypatch.setattr("vehicle_reid.gallery.lance.store.CACHED_METADATA", most)
    monkeypatch.setattr(lancedb, "Session", lambda **sizes: sessions.append(session(**sizes)) or sessions[-1])
    store, taken = stored(tmp_path, numbered(30)), []
    for _ in range(30):
        store.add(numbered(1, 1000))
        store.snapshot().entries()
        store.remove(["n1000"])
        taken.append(sessions[0].size_bytes)
    assert len(sessions) == 1
    growth = (taken[5] - taken[0]) / 5
    assert growth > 0 and taken[0] + 29 * growth > 1.2 * most > taken[-1]


def test_versions_are_kept_for_an_hour_after_they_were_replaced(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    reader = opened(store)
    store.remove(["n0"])
    store.optimize()
    assert len(table(store).list_versions()) >= 3
    assert reader.entries().names == ("n0", "n1", "n2")


# opening what is no gallery


def test_other_things_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "gallery"
    with pytest.raises(UserError, match=rf"^{path}: no such gallery; build it with `.* gallery build`$"):
        LanceStore.open(str(path), MODEL)
    assert not path.exists()
    path.write_bytes(b"an earlier version's file")
    remedy = f"`.*gallery convert {path}` if a version before"
    with pytest.raises(UserError, match=rf"^{path}: a file, and a gallery is a folder; {remedy}"):
        LanceStore.open(str(path), MODEL)
    with pytest.raises(UserError, match="a file, and a gallery is a folder"):
        stored(tmp_path, numbered(1))
    path.unlink()
    path.mkdir()
    (path / "photo.jpg").write_bytes(b"")
    for call in (lambda: LanceStore.open(str(path), MODEL), lambda: stored(tmp_path, numbered(1))):
        with pytest.raises(UserError, match=rf"^{path}: a folder of other files, such as photo.jpg; choose another"):
            call()
    assert [one.name for one in path.iterdir()] == ["photo.jpg"]


def test_what_a_killed_build_left_is_no_gallery_and_no_obstacle(tmp_path: Path) -> None:
    data = tmp_path / "gallery" / f"{TABLE}.lance" / "data"
    data.mkdir(parents=True)
    (data / "x.lance").write_bytes(b"")
    with pytest.raises(UserError, match="no such gallery"):
        LanceStore.open(str(tmp_path / "gallery"), MODEL)
    assert opened(stored(tmp_path, numbered(2))).count() == 2


@pytest.mark.parametrize(
    "change", [{"kind": "parts"}, {"schema": "3"}, {"model": "{"}, {"slots": "x"}, {"index": None}]
)
def test_another_schema_is_refused(tmp_path: Path, change: dict[str, str | None]) -> None:
    rows = table(stored(tmp_path / "a", numbered(2))).to_arrow()
    metadata = {key.decode(): value.decode() for key, value in rows.schema.metadata.items()} | change
    rows = rows.replace_schema_metadata({key: value for key, value in metadata.items() if value is not None})
    lancedb.connect(tmp_path / "gallery").create_table(TABLE, rows)
    with pytest.raises(UserError, match=r"^.*/gallery: not a (valid )?gallery.*; delete it and build it again with"):
        LanceStore.open(str(tmp_path / "gallery"), MODEL)


# damage


def test_the_check_names_the_first_bad_row(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(200))
    assert store.check() == 200
    table(store).update(where="id = 150", values={"camera": 77})
    store.refresh()
    with pytest.raises(UserError, match=rf"^{store.address}: n150: damaged, its checksum does not fit; delete it and"):
        store.check()
    with pytest.raises(UserError, match="n150: damaged"):  # it is now the last row, which opening looks at
        opened(store)


@pytest.mark.parametrize("column", ["vehicle", "time", "name", "id"])
def test_every_column_is_checked(tmp_path: Path, column: str) -> None:
    store = stored(tmp_path, named(["a", "b"], vehicle=["1", "2"], time=["3", "4"]))
    table(store).update(where="id = 1", values={column: 9 if column == "id" else "9"})
    store.refresh()
    with pytest.raises(UserError, match="damaged, its checksum does not fit"):
        store.check()


def test_rows_that_are_there_twice_are_found(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    rows = table(store).to_arrow()
    table(store).add(rows.slice(1, 1))
    store.refresh()
    with pytest.raises(UserError, match="n1: its name occurs more than once; delete it"):
        store.check()


@pytest.mark.parametrize("kind", ["data/*.lance", "_versions/*.manifest"])
def test_a_flipped_byte_is_found_or_harmless(tmp_path: Path, kind: str) -> None:
    entries = named([f"n{row}" for row in range(50)], vehicle=[str(row) for row in range(50)])
    store = stored(tmp_path, entries)
    (file,) = (Path(store.address) / f"{TABLE}.lance").glob(kind)
    whole, found = file.read_bytes(), 0
    for place in range(3, len(whole), len(whole) // 20):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x14]) + whole[place + 1 :])
        try:
            opened(store).check()
            assert_same(opened(store).entries(), entries)  # a byte that means nothing
        except UserError as error:
            found += 1
            assert str(error).startswith(store.address) and "\n" not in str(error) and "gallery build" in str(error)
    assert found > (15 if kind == "data/*.lance" else 2)


def test_failures_of_the_disk_are_named(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    for file in Path(store.address).rglob("*.lance/data/*.lance"):
        file.unlink()
    for call in (store.entries, store.check, lambda: opened(store), lambda: store.best(random_matrix(1), 2)):
        with pytest.raises(UserError, match=rf"^{store.address}: cannot be used \(.*\); check the disk") as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", ["in a folder", "in memory"])
def test_a_snapshot_stays_the_same_whatever_other_threads_change(tmp_path: Path, kept: str) -> None:
    address = str(tmp_path / "gallery") if kept == "in a folder" else "memory://"
    store = LanceStore.create(address, numbered(3), model=MODEL)
    done = threading.Event()

    def read() -> int:
        turns = 0
        while not done.is_set() or not turns:
            seen = store.snapshot()
            names = seen.read(["name"], order="name", most=1000)["name"].tolist()
            assert len(names) == seen.count() and len(names) % 3 == 0  # every change is of three
            assert sorted(seen.entries().names) == names
            turns += 1
        return turns

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        first = store.snapshot()
        for number in range(3, 60, 3):
            store.add(numbered(3, number))
            if number % 2:
                store.remove([f"n{one}" for one in range(number, number + 3)])
        done.set()
        assert all(reader.result(60) for reader in readers)
    assert first.entries().names == ("n0", "n1", "n2") and first.count() == 3
    assert store.snapshot().count() == store.count() == store.snapshot().count() > 3


def test_a_change_that_fails_halfway_does_not_stop_later_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path, numbered(2))
    with monkeypatch.context() as patch:
        patch.setattr(type(store._table), "add", lambda *_, **__: _raise(OSError("No space left on device")))
        with pytest.raises(StoreFault, match="No space left"):
            store.add(named(["a"], colour=["red"]))  # the new column is there by then
    store.add(named(["a"], colour=["red"]))
    assert store.entries().names == ("n0", "n1", "a") and opened(store).check() == 3


def test_a_gallery_that_cannot_be_put_in_order_has_changed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = stored(tmp_path, numbered(2))
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "FEWEST_FILES", 0)
        patch.setattr(type(store._table), "optimize", lambda *_, **__: _raise(OSError("No space left on device")))
        store.add(numbered(1, 5))
    assert "No space left on device" in capsys.readouterr().err
    assert opened(store).check() == 3


def _raise(error: Exception) -> None:
    raise error
