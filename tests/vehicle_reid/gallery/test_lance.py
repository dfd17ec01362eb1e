"""A gallery in LanceDB: what is read is what was added, changes are whole or not at all, searches miss nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import CHANNELS, Matrix, random_matrix
from helpers.places.stored import HOSTILE, MODEL, assert_same, named, numbered, opened, stored
from vehicle_reid.gallery import lance_upkeep
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.lance import TABLE, LanceStore
from vehicle_reid.gallery.search import ExactSearch, search
from vehicle_reid.gallery.store import Store


def with_slots(entries: Entries, slots: int, weights: int) -> Entries:
    """Return entries with other shapes of the parts and of the attention."""
    count, random = len(entries), np.random.default_rng(1)
    boxes = random.uniform(0, 9, (count, slots, 4)).astype(np.float32)
    labels = random.integers(-1, 16, (count, slots)).astype(np.int8)
    attention = random.random((count, weights)).astype(np.float32)
    return replace(entries, boxes=boxes, labels=labels, attention=attention)


@pytest.mark.parametrize(
    "entries",
    [
        numbered(40),
        numbered(1),
        numbered(0),
        Entries.empty(CHANNELS, 3),
        with_slots(numbered(9), 0, 49),
        with_slots(numbered(9), 0, 0),
        with_slots(numbered(9), 8, 8),
        named(HOSTILE, time=HOSTILE, Colour=HOSTILE[::-1], order=[""] * len(HOSTILE)),
    ],
    ids=["many", "one", "none", "empty", "grid", "no-attention", "slots", "hostile"],
)
def test_images_are_read_back_bit_for_bit(tmp_path: Path, entries: Entries) -> None:
    store: Store = stored(tmp_path, entries)
    columns = tuple(dict.fromkeys(["vehicle", "time", *entries.columns]))
    assert store.header.columns == columns
    assert (store.header.channels, store.header.slots) == (CHANNELS, entries.labels.shape[1])
    for one in (store, LanceStore.open(store.address, MODEL)):
        assert_same(one.entries(), entries, columns)
        assert one.entries().ids.tolist() == list(range(len(entries)))
        assert one.header == store.header and one.header.model == MODEL and one.count() == len(entries)
    again = LanceStore.open(store.address, None)
    again.optimize()
    assert again.check() == len(entries)
    assert_same(again.entries(), entries, columns)


@pytest.mark.parametrize("seed", range(3))
def test_changes_equal_those_of_a_list_and_ids_are_never_used_again(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    store = stored(tmp_path, numbered(5))
    rows = {name: number for number, name in enumerate(store.entries().names)}  # ids by name, in the order of adding
    used, added = 5, 5
    for _ in range(25):
        step = random.integers(4)
        if step == 0 and rows:
            names = random.permutation([*rows])[: random.integers(1, 4)].tolist()
            names = [*rows][-2:] if random.integers(2) else names  # often the last: only they show which ids were used
            store.remove(names)
            rows = {name: number for name, number in rows.items() if name not in names}
        elif step < 3:
            more = int(random.integers(1, 6))
            store.add(numbered(more, added))
            rows |= {f"n{added + number}": used + number for number in range(more)}
            used, added = used + more, added + more
        else:
            store.optimize()
        store = opened(store) if random.integers(3) == 0 else store
        assert dict(zip(store.entries().names, store.entries().ids.tolist(), strict=True)) == rows
        assert list(store.entries().names) == list(rows) and store.check() == len(rows)


def test_removing_all_does_not_free_ids(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    store.remove(["n0", "n1", "n2"])
    assert opened(store).count() == 0
    store = opened(store)
    store.optimize()
    store.add(numbered(2))
    assert store.entries().ids.tolist() == [3, 4]


def test_refused_changes_change_nothing(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(5))
    version, entries = store.version, store.entries()
    wide = replace(numbered(2, 9), features=random_matrix(2, CHANNELS * 2))
    refused: dict[str, Callable[[], object]] = {
        "2 images are already in the gallery, first n3; remove them first": lambda: store.add(numbered(4, 3)),
        "1 of 2 names are not in it, first absent": lambda: store.remove(["n1", "absent"]),
        f"images of .{CHANNELS * 2}, 2, 2. channels, slots and weights do not fit": lambda: store.add(wide),
        "slots and weights": lambda: store.add(with_slots(numbered(2, 9), 3, 3)),
        "slots and weights do not": lambda: store.add(with_slots(numbered(2, 9), 2, 9)),
        "columns vehicle, time, Time: two of them": lambda: store.add(named(["x"], Time=["1"])),
        "unknown index exakt": lambda: LanceStore.create(str(tmp_path / "b"), entries, model=MODEL, index="exakt"),
        "the gallery already exists; use": lambda: stored(tmp_path, entries),
        "index approximate: needs a multiple of 8 channels": lambda: LanceStore.create(
            str(tmp_path / "b"), replace(entries, features=random_matrix(5, 12)), model=MODEL, index="approximate"
        ),
    }
    for words, change in refused.items():
        with pytest.raises(UserError, match=words):
            change()
    store.add(numbered(0))
    store.remove([])
    assert opened(store).version == version == store.version
    assert_same(opened(store).entries(), entries)
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]  # no lock, no second gallery


def test_new_details_are_empty_for_the_images_before(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(2))
    store.add(named(["x"], colour=["red"], time=["2024"]))
    store.add(named(["y"], vehicle=["7"]))
    assert store.header.columns == ("vehicle", "time", "colour") and store.check() == 4
    found = opened(store).entries().details
    assert found["colour"].tolist() == ["", "", "red", ""] and found["vehicle"].tolist() == ["", "", "", "7"]
    assert found["time"].tolist() == ["", "", "2024", ""]


def test_columns_are_read_in_order_and_in_parts(tmp_path: Path) -> None:
    store = stored(tmp_path, named(["c", "ü", "a", "B", "d"], vehicle=list("54321")))
    store.remove(["d"])
    assert store.read(["name"], order="name")["name"].tolist() == ["B", "a", "c", "ü"]
    assert store.read(["name", "vehicle"], order="name", first=1, most=2)["vehicle"].tolist() == ["3", "5"]
    assert store.read(["name"], most=2)["name"].tolist() == ["c", "ü"]
    assert store.read(["name"], Filter(ids=(3, 0)), first=1)["name"].tolist() == ["B"]
    assert store.read(["feature"], most=0)["feature"].shape == (0, CHANNELS)
    assert store.read(["id"], first=9, most=2)["id"].dtype == np.int64
    features = store.read(["id", "feature"], Filter(after=1))["feature"]
    np.testing.assert_array_equal(features, store.entries().features[2:], strict=True)
    with pytest.raises(UserError, match="unknown column nam; did you mean name"):
        store.read(["nam"])


def test_a_reader_stays_at_its_version_until_it_refreshes(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    reader = opened(store)
    store.add(named(["x"], colour=["red"]))
    assert reader.count() == 3 and reader.refresh() == store.version and reader.count() == 4
    assert reader.header.columns[-1] == "colour"
    store.remove(["n0", "x"])
    store.optimize()
    assert "x" in reader.entries().names
    reader.refresh()
    assert reader.entries().names == ("n1", "n2")


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


# searching


def naive_best(query: Matrix, entries: Entries, k: int, allowed: np.ndarray) -> tuple[list[list[int]], Matrix]:
    """Return ids and scores by sorting all scores of all allowed images."""
    ids, scores = [], np.full((len(query), k), -np.inf, np.float32)
    for row, one in enumerate(query):
        all_scores = np.einsum("nc,nc->n", np.tile(one, (len(entries), 1)), entries.features)
        order = [place for place in np.lexsort((entries.ids, -all_scores)) if allowed[place]][:k]
        ids.append([*entries.ids[order].tolist(), *[-1] * (k - len(order))])
        scores[row, : len(order)] = all_scores[order]
    return ids, scores


@pytest.mark.parametrize("k", [1, 7, 400])
@pytest.mark.parametrize("where", [EVERY, Filter(cameras=(1,)), Filter(ids=(3, 5, 6)), Filter(cameras=(9,))])
def test_without_an_index_the_best_are_those_of_a_naive_search(tmp_path: Path, k: int, where: Filter) -> None:
    entries = numbered(300)
    entries.features[20:60] = entries.features[20]  # ties are ordered by id
    store = stored(tmp_path, entries.take(np.arange(250)))
    store.add(entries.take(np.arange(250, 300)))
    store.remove(["n25", "n299"])
    entries = store.entries()
    query = np.concatenate([random_matrix(5, seed=8), entries.features[20:22]])
    allowed = np.isin(entries.ids, store.read(["id"], where)["id"])
    ids, scores = naive_best(query, entries, k, allowed)
    found = store.best(query, k, where)
    assert found.ids.tolist() == ids
    np.testing.assert_array_equal(found.scores, scores, strict=True)
    assert store.best(query[:0], k).ids.shape == (0, k)


def test_queries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    store = stored(tmp_path, numbered(3))
    for query, k, words in [
        (random_matrix(2, 9), 3, "query: features of shape"),
        (random_matrix(2) * np.float32(np.nan), 3, "query: features of shape"),
        (random_matrix(2), 0, "k is 0"),
    ]:
        with pytest.raises(UserError, match=words):
            store.best(query, k)
    store.remove(["n0", "n1", "n2"])
    assert store.best(random_matrix(2), 3).ids.tolist() == [[-1] * 3] * 2


def clustered(count: int) -> Entries:
    """Return entries of clusters of eight images."""
    random = np.random.default_rng(0)
    features = np.repeat(random_matrix(-(-count // 8)), 8, axis=0)[:count] + 0.6 * random_matrix(count, seed=1)
    features = features[random.permutation(count)]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    return replace(numbered(count), features=features)


def test_the_index_finds_nearly_all_new_images_too_and_no_removed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = clustered(6_200)
    store = stored(tmp_path, entries.take(np.arange(6_000)), "approximate")
    store.add(entries.take(np.arange(6_000, 6_100)))  # not in the index
    store.remove([f"n{number}" for number in range(0, 500, 5)])
    entries = store.entries()
    query = entries.features[::60]
    exact = search(ExactSearch(entries.features), query, 10)
    few, many = Filter(cameras=(1,)), Filter(without=("n1", "n2"))
    some = search(ExactSearch(entries.features), query, 10, entries.cameras == 1)
    found = opened(store).best(query, 10, few)  # too few for the index: exact
    np.testing.assert_array_equal(found.ids, entries.ids[some.rows], strict=True)
    np.testing.assert_array_equal(found.scores, some.scores, strict=True)
    monkeypatch.setattr(LanceStore, "_best_of_all", lambda *_: pytest.fail("the index was not used"))
    for where in (EVERY, many):
        found = opened(store).best(query, 10, where)
        hits = [len(np.intersect1d(one, entries.ids[rows])) for one, rows in zip(found.ids, exact.rows, strict=True)]
        assert sum(hits) >= 0.95 * exact.rows.size
        assert np.isin(found.ids, entries.ids).all()
        rows = np.searchsorted(entries.ids, found.ids)
        scores = np.einsum("pc,pc->p", np.repeat(query, 10, axis=0), entries.features[rows.reshape(-1)])
        np.testing.assert_array_equal(found.scores, scores.reshape(-1, 10), strict=True)
    assert opened(store).best(query[:1], 1).ids[0, 0] == entries.ids[0]


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
    monkeypatch.setattr(lance_upkeep, "INDEXED_FROM", 300)
    store = stored(tmp_path, numbered(200), index)
    assert indexed(store) == {}
    sizes = []
    for first in range(200, 1400, 100):
        store.add(numbered(100, first))
        rows = indexed(store)
        assert set(rows) == {"id", "name", "time", "camera", *(["feature"] if index == "approximate" else [])}
        assert min(rows.values()) >= 0.95 * store.count()
        sizes.append(lance_upkeep.noted(store._table, lance_upkeep.INDEXED_ROWS))
    assert sizes[0] == 300 and sizes[-1] == 1300 and len(set(sizes)) == 2  # trained twice
    assert store.check() == 1400


def test_many_small_changes_leave_few_files_and_no_old_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_upkeep, "KEPT", lance_upkeep.KEPT * 0)
    monkeypatch.setattr(lance_upkeep, "timedelta", lambda **_: lance_upkeep.KEPT)
    store = stored(tmp_path, numbered(10))
    reader = opened(store)
    for number in range(10, 60):
        store.add(numbered(1, number))
        assert reader.entries().names == store.entries().names[:number]
        reader.refresh()
    assert table(store).stats()["fragment_stats"]["num_fragments"] <= lance_upkeep.FEWEST_FILES + 1
    assert len(table(store).list_versions()) <= 2 * lance_upkeep.FEWEST_FILES
    assert store.check() == 60


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
    ("model", "words"),
    [
        ({"checkpoint": "b", "detector": None}, f"made with checkpoint = {'a' * 64}, this run needs b; name the run"),
        ({**MODEL, "detector": "c"}, "made with detector = None, this run needs c; name the run and the detector"),
    ],
)
def test_a_gallery_of_another_model_is_refused(tmp_path: Path, model: dict[str, str | None], words: str) -> None:
    store = stored(tmp_path, numbered(2))
    with pytest.raises(UserError, match=rf"^{store.address}: {words}"):
        LanceStore.open(store.address, model)
    assert LanceStore.open(store.address, None).header.model == MODEL


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


def test_details_of_pandas_of_any_kind_are_stored(tmp_path: Path) -> None:
    for number, kind in enumerate(("object", "str", "category")):
        details = pd.DataFrame({"vehicle": pd.Series(["1", ""], dtype=kind)})
        store = stored(tmp_path / str(number), replace(numbered(2), details=details))
        assert store.entries().details["vehicle"].tolist() == ["1", ""]
