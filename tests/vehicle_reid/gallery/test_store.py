"""Galleries in either store: what is read is what was added, changes are whole or not at all, searches miss nothing."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import CHANNELS, Matrix, random_matrix
from helpers.places.stored import HOSTILE, MODEL, NewStores, assert_same, named, numbered, opened
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.search import ExactSearch, search
from vehicle_reid.gallery.stores import store_at


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
def test_images_are_read_back_bit_for_bit(new_store: NewStores, entries: Entries) -> None:
    store = new_store(entries)
    columns = tuple(dict.fromkeys(["vehicle", "time", *entries.columns]))
    assert store.header.columns == columns
    assert (store.header.channels, store.header.slots) == (CHANNELS, entries.labels.shape[1])
    for one in (store, opened(store)):
        assert_same(one.entries(), entries, columns)
        assert one.entries().ids.tolist() == list(range(len(entries)))
        assert one.header == store.header and one.header.model == MODEL and one.count() == len(entries)
    again = type(store).open(store.address, None)
    again.optimize()
    assert again.check() == len(entries)
    assert_same(again.entries(), entries, columns)


@pytest.mark.parametrize("seed", range(3))
def test_changes_equal_those_of_a_list_and_ids_are_never_used_again(new_store: NewStores, seed: int) -> None:
    random = np.random.default_rng(seed)
    store = new_store(numbered(5))
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


def test_removing_all_does_not_free_ids(new_store: NewStores) -> None:
    store = new_store(numbered(3))
    store.remove(["n0", "n1", "n2"])
    assert opened(store).count() == 0
    store = opened(store)
    store.optimize()
    store.add(numbered(2))
    assert store.entries().ids.tolist() == [3, 4]


def test_refused_changes_change_nothing(new_store: NewStores) -> None:
    store = new_store(numbered(5))
    version, entries = store.version, store.entries()
    wide = replace(numbered(2, 9), features=random_matrix(2, CHANNELS * 2))
    refused: dict[str, Callable[[], object]] = {
        "2 images are already in the gallery, first n3; remove them first": lambda: store.add(numbered(4, 3)),
        "1 of 2 names are not in it, first absent": lambda: store.remove(["n1", "absent"]),
        f"images of .{CHANNELS * 2}, 2, 2. channels, slots and weights do not fit": lambda: store.add(wide),
        "slots and weights": lambda: store.add(with_slots(numbered(2, 9), 3, 3)),
        "slots and weights do not": lambda: store.add(with_slots(numbered(2, 9), 2, 9)),
        "columns vehicle, time, Time: two of them": lambda: store.add(named(["x"], Time=["1"])),
        "unknown index exakt": lambda: new_store(entries, "exakt"),
        "the gallery already exists; use": lambda: type(store).create(store.address, entries, model=MODEL),
    }
    for words, change in refused.items():
        with pytest.raises(UserError, match=words):
            change()
    store.add(numbered(0))
    store.remove([])
    assert opened(store).version == version == store.version
    assert_same(opened(store).entries(), entries)


def test_new_details_are_empty_for_the_images_before(new_store: NewStores) -> None:
    store = new_store(numbered(2))
    store.add(named(["x"], colour=["red"], time=["2024"]))
    store.add(named(["y"], vehicle=["7"]))
    assert store.header.columns == ("vehicle", "time", "colour") and store.check() == 4
    found = opened(store).entries().details
    assert found["colour"].tolist() == ["", "", "red", ""] and found["vehicle"].tolist() == ["", "", "", "7"]
    assert found["time"].tolist() == ["", "", "2024", ""]


def test_columns_are_read_in_order_and_in_parts(new_store: NewStores) -> None:
    store = new_store(named(["c", "ü", "a", "B", "d"], vehicle=list("54321")))
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
def test_without_an_index_the_best_are_those_of_a_naive_search(new_store: NewStores, k: int, where: Filter) -> None:
    entries = numbered(300)
    entries.features[20:60] = entries.features[20]  # ties are ordered by id
    store = new_store(entries.take(np.arange(250)))
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


def test_queries_that_do_not_fit_are_refused(new_store: NewStores) -> None:
    store = new_store(numbered(3))
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
    new_store: NewStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = clustered(6_200)
    store = new_store(entries.take(np.arange(6_000)), "approximate")
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
    module = sys.modules[type(store).__module__]
    monkeypatch.setattr(module, "search_batches", lambda *_: pytest.fail("the index was not used"))
    for where in (EVERY, many):
        found = opened(store).best(query, 10, where)
        hits = [len(np.intersect1d(one, entries.ids[rows])) for one, rows in zip(found.ids, exact.rows, strict=True)]
        assert sum(hits) >= 0.95 * exact.rows.size
        assert np.isin(found.ids, entries.ids).all()
        rows = np.searchsorted(entries.ids, found.ids)
        scores = np.einsum("pc,pc->p", np.repeat(query, 10, axis=0), entries.features[rows.reshape(-1)])
        np.testing.assert_array_equal(found.scores, scores.reshape(-1, 10), strict=True)
    assert opened(store).best(query[:1], 1).ids[0, 0] == entries.ids[0]


# opening


def test_a_gallery_is_there_from_its_making_on(new_store: NewStores) -> None:
    address = new_store.address()
    assert not store_at(address).exists(address)
    with pytest.raises(UserError, match=rf"^{address}: no such gallery; build it with `.* gallery build`$"):
        store_at(address).open(address, MODEL)
    store = store_at(address).create(address, numbered(2), model=MODEL)
    assert store_at(address).exists(address) and store.version == opened(store).version


def test_a_reader_sees_what_was_added_when_it_refreshes(new_store: NewStores) -> None:
    store = new_store(numbered(3))
    reader, before = opened(store), store.version
    store.add(named(["x"], colour=["red"]))
    assert reader.count() == 3 == len(reader.entries()) and reader.version == before
    assert reader.best(store.entries().features[3:], 4).ids[0, 3] == -1
    assert reader.refresh() == store.version > before and reader.count() == 4
    assert reader.header.columns[-1] == "colour" and reader.read(["colour"])["colour"].tolist() == ["", "", "", "red"]
    store.remove(["n0", "x"])
    assert reader.refresh() == store.version and reader.entries().names == ("n1", "n2") and reader.count() == 2


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"checkpoint": "b", "detector": None}, f"made with checkpoint = {'a' * 64}, this run needs b; name the run"),
        ({**MODEL, "detector": "c"}, "made with detector = None, this run needs c; name the run and the detector"),
    ],
)
def test_a_gallery_of_another_model_is_refused(new_store: NewStores, model: dict[str, str | None], words: str) -> None:
    store = new_store(numbered(2))
    with pytest.raises(UserError, match=rf"^{store.address}: {words}"):
        type(store).open(store.address, model)
    assert type(store).open(store.address, None).header.model == MODEL


def test_details_of_pandas_of_any_kind_are_stored(new_store: NewStores) -> None:
    for kind in ("object", "str", "category"):
        details = pd.DataFrame({"vehicle": pd.Series(["1", ""], dtype=kind)})
        store = new_store(replace(numbered(2), details=details))
        assert store.entries().details["vehicle"].tolist() == ["1", ""]
