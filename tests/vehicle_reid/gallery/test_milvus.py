"""A gallery on a Milvus server: addresses, secrets, servers that fail, changes that are cut short, damage."""

import base64
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2_grpc

from data_cache.base.errors import UserError
from helpers.places.api import CHANNELS, random_matrix
from helpers.places.stored import MODEL, NewStores, assert_same, milvus_server, named, numbered, opened
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.milvus import server as server_module
from vehicle_reid.gallery.milvus.rows import STATE_ID
from vehicle_reid.gallery.milvus.server import TOKEN, Collection, Place, place_of
from vehicle_reid.gallery.milvus.store import MilvusStore
from vehicle_reid.gallery.stores import gallery_folder, store_at

SECRET = "pa55"


@pytest.fixture
def addresses(milvus: str, request: pytest.FixtureRequest) -> NewStores:
    """A maker of galleries on a Milvus server."""
    return NewStores(milvus, prefix="".join(letter for letter in request.node.name if letter.isalnum()))


@pytest.fixture
def store(addresses: NewStores) -> MilvusStore:
    """A gallery of ten images."""
    address = addresses.address()
    return MilvusStore.create(address, numbered(10), model=MODEL)


def client_of(store: MilvusStore) -> tuple[MilvusClient, str]:
    """Return a client of a gallery's server, and the name of its collection."""
    place = place_of(store.address)
    return MilvusClient(place.server), place.collection


def row_of(store: MilvusStore, number: int) -> dict[str, Any]:
    """Return the row with an id."""
    client, name = client_of(store)
    return dict(client.query(name, filter=f"id == {number}", output_fields=["*"])[0])


def change_row(store: MilvusStore, number: int, **values: Any) -> None:
    """Write other values into the row with an id."""
    client, name = client_of(store)
    client.upsert(name, [row_of(store, number) | values])


def requires_one_line(address: str, words: str, call: Callable[[], object]) -> None:
    """Assert that a call raises UserError in one line that begins with the address and matches `words`."""
    with pytest.raises(UserError, match=words) as raised:
        call()
    assert str(raised.value).startswith(f"{address}: ") and "\n" not in str(raised.value)


# addresses


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("http://localhost:19530/cars", Place("http://localhost:19530", "", "cars")),
        ("HTTP://localhost/cars/", Place("http://localhost:19530", "", "cars")),
        ("https://milvus.example.org/city/cars_2", Place("https://milvus.example.org:443", "city", "cars_2")),
        ("http://[::1]:9/_cars", Place("http://[::1]:9", "", "_cars")),
    ],
)
def test_an_address_names_server_database_and_collection(address: str, place: Place) -> None:
    assert place_of(address) == place
    assert store_at(address) is MilvusStore and gallery_folder(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "http://h",
        "http://h/",
        "http://h/a/b/c",
        "http://h/a-b",
        "http://h/1a",
        "http://:1/a",
        "http://h:x/a",
        "http://",
    ],
)
def test_other_addresses_are_refused_with_what_to_give(address: str) -> None:
    requires_one_line(address, "not the address of a collection; give http://HOST:PORT/COLL", lambda: place_of(address))


@pytest.mark.parametrize(
    "address",
    [
        f"http://root:{SECRET}@h:1/cars",
        f"http://{SECRET}@h:1/cars",
        f"http://h:1/cars?token={SECRET}",
        f"http://h:1/cars#{SECRET}",
        f"http://a@b:{SECRET}@h:1/cars",
        f"http://root:a/{SECRET}@h:1/cars",
        f"http://root:a?{SECRET}#@h:1/cars",
    ],
)
def test_secrets_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match=rf"^http://h:1/cars: give no user, .*; set {TOKEN}=USER:PASS") as raised:
        store_at(address).exists(address)
    assert SECRET not in str(raised.value)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vehicle_reid.gallery.milvus.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(UserError, match=r"needs pymilvus, which is not installed; run `pip install '\.\[milvus\]'`$"):
        store_at("http://h/cars")
    assert store_at("s3://bucket/cars") is store_at("cars")  # which need no such package


# servers that fail


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/cars"
        requires_one_line(address, "check that a Milvus server runs there", lambda: MilvusStore.exists(address))


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECT_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/cars"
        requires_one_line(address, "cannot be used .*; check that", lambda: MilvusStore.open(address, MODEL))


def test_a_server_that_ends_is_named_by_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SECONDS", 2.0)
    with milvus_server(tmp_path) as server:
        store = MilvusStore.create(f"{server}/cars", numbered(3), model=MODEL)
    for call in (
        store.refresh,
        store.entries,
        store.check,
        store.optimize,
        lambda: opened(store),
        lambda: store.best(random_matrix(1), 2),
        lambda: store.count(Filter(cameras=(1,))),
        lambda: store.add(numbered(1, 9)),
        lambda: store.remove(["n1"]),
    ):
        requires_one_line(store.address, r"cannot be used \(.*\); check that a Milvus server", call)


class _WithToken(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses requests without the token `SECRET`, which pymilvus sends in base64."""

    def intercept_service(self, go_on: Callable[[Any], Any], details: Any) -> Any:
        if ("authorization", base64.b64encode(SECRET.encode()).decode()) in details.invocation_metadata:
            return go_on(details)
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, f"auth check failure of {TOKEN}")
        )


@contextmanager
def server_with_token(folder: Path) -> Iterator[str]:
    """Run a Milvus server that wants the token `SECRET`, and yield its address."""
    database = MilvusLite(str(folder))
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[_WithToken()])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait()
    database.close()


def test_the_token_of_the_environment_is_needed_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with server_with_token(tmp_path) as server:
        address = f"{server}/cars"
        for wrong in (None, "wr0ng"):
            monkeypatch.delenv(TOKEN, raising=False)
            if wrong is not None:
                monkeypatch.setenv(TOKEN, wrong)
            with pytest.raises(
                UserError, match=rf"^{address}: cannot be used \(.*\); set {TOKEN} to a token"
            ) as raised:
                MilvusStore.exists(address)
            assert "wr0ng" not in str(raised.value)
        monkeypatch.setenv(TOKEN, SECRET)
        assert MilvusStore.create(address, numbered(2), model=MODEL).check() == 2
    assert "pymilvus" not in capfd.readouterr().err  # no traceback of the client


def test_an_unknown_database_is_named(milvus: str) -> None:
    address = f"{milvus}/nowhere/cars"
    requires_one_line(address, "database 'nowhere' does not exist", lambda: MilvusStore.exists(address))


# what is no gallery


def test_a_collection_of_something_else_is_refused_and_stays(milvus: str) -> None:
    client, address = MilvusClient(milvus), f"{milvus}/other"
    schema = MilvusClient.create_schema()
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("feature", DataType.FLOAT_VECTOR, dim=CHANNELS)
    client.create_collection("other", schema=schema)
    client.insert("other", [{"key": 1, "feature": random_matrix(1)[0]}])
    for call in (
        lambda: MilvusStore.exists(address),
        lambda: MilvusStore.open(address, MODEL),
        lambda: MilvusStore.create(address, numbered(1), model=MODEL),
    ):
        requires_one_line(address, "a collection of something else, with columns such as key; choose another", call)
    assert client.has_collection("other")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"kind": "gallery"', '"kind": "parts"', "not a gallery of schema"),
        ('"schema": 2', '"schema": 3', "not a gallery of schema"),
        ('"slots"', '"slot"', "not a valid gallery"),
        ("{", "", "not a valid gallery"),
        (f'"channels": {CHANNELS}', '"channels": 9', f"features of {CHANNELS} channels, not 9"),
    ],
)
def test_another_state_is_refused(store: MilvusStore, old: str, new: str, words: str) -> None:
    change_row(store, STATE_ID, name=row_of(store, STATE_ID)["name"].replace(old, new, 1))
    requires_one_line(store.address, f"{words}.*; delete it and build it again", lambda: opened(store))


def test_images_without_a_state_are_refused_and_stay(store: MilvusStore) -> None:
    client, name = client_of(store)
    client.delete(name, ids=[STATE_ID])
    for call in (lambda: opened(store), lambda: MilvusStore.create(store.address, numbered(1), model=MODEL)):
        requires_one_line(store.address, "its row -1 is missing", call)
    requires_one_line(store.address, "was deleted or replaced while it was used", store.refresh)
    assert client.query(name, filter="id >= 0", output_fields=["count(*)"])[0]["count(*)"] == 10


def test_a_gallery_that_is_replaced_while_it_is_used_is_not_mixed_with_the_other(store: MilvusStore) -> None:
    client, name = client_of(store)
    client.drop_collection(name)
    MilvusStore.create(store.address, numbered(10), model=MODEL)
    requires_one_line(store.address, "was deleted or replaced while it was used; open it again", store.refresh)


# changes that are cut short


class Interrupted(Exception):
    """In place of a killed process."""


@contextmanager
def interrupted_after(method: str, calls: int) -> Iterator[None]:
    """Let a method of `Collection` raise after so many calls."""
    whole, count = getattr(Collection, method), iter(range(calls + 1))

    def cut_short(self: Collection, *arguments: Any) -> Any:
        if next(count) == calls:
            raise Interrupted
        return whole(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collection, method, cut_short)
        with pytest.raises(Interrupted):
            yield


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests and answers of four images."""
    monkeypatch.setattr("vehicle_reid.gallery.milvus.store.BYTES_AT_ONCE", 16 * CHANNELS)
    monkeypatch.setattr("vehicle_reid.gallery.milvus.store.LISTED", 4)


@pytest.mark.parametrize(("method", "calls"), [("put", 0), ("insert", 0), ("insert", 2), ("flush", 0), ("put", 1)])
@pytest.mark.usefixtures("small_requests")
def test_a_gallery_is_made_whole_or_not_at_all(addresses: NewStores, method: str, calls: int) -> None:
    address = addresses.address()
    with interrupted_after(method, calls):
        MilvusStore.create(address, numbered(10), model=MODEL)
    assert not MilvusStore.exists(address)
    requires_one_line(address, "no such gallery; build it", lambda: MilvusStore.open(address, MODEL))
    assert MilvusStore.create(address, numbered(7), model=MODEL).check() == 7


@pytest.mark.parametrize(("method", "calls"), [("insert", 0), ("insert", 2), ("put", 0)])
@pytest.mark.usefixtures("small_requests")
def test_images_are_added_all_or_none(store: MilvusStore, method: str, calls: int) -> None:
    before = store.entries()
    with interrupted_after(method, calls):
        store.add(numbered(10, 10))
    for one in (store, opened(store)):
        assert_same(one.entries(), before)
        assert one.count() == 10 == one.check() == one.count(Filter(without=("x",)))
        assert one.best(before.features[:1], 30).ids.max() == 9
        assert one.read(["name"], order="name", first=8)["name"].tolist() == ["n8", "n9"]
    store.add(numbered(6, 14))  # fewer: of the ten none may come to light
    assert opened(store).entries().names == (*before.names, *numbered(6, 14).names) and store.check() == 16
    assert store.entries().ids.tolist() == list(range(16))


@pytest.mark.parametrize(("method", "calls"), [("put", 0), ("delete", 0), ("delete", 1), ("put", 1)])
@pytest.mark.usefixtures("small_requests")
def test_an_interrupted_removal_leaves_a_sound_gallery(store: MilvusStore, method: str, calls: int) -> None:
    with interrupted_after(method, calls):
        store.remove([f"n{number}" for number in range(2, 9)])
    left = 10 - {"put": 7 * calls, "delete": 4 * calls}[method]
    again = opened(store)
    assert again.count() == len(again.entries()) == again.check() == left
    again.add(numbered(1, 20))
    again.remove(["n0"])
    assert again.count() == left == again.check() and again.entries().ids[-1] == 10


def test_a_change_by_another_process_at_the_same_time_is_refused(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Collection.insert

    def while_another_adds(self: Collection, rows: Any) -> None:
        monkeypatch.setattr(Collection, "insert", whole)
        opened(store).add(numbered(2, 30))
        whole(self, rows)

    monkeypatch.setattr(Collection, "insert", while_another_adds)
    requires_one_line(
        store.address, "another process changed the gallery at the same", lambda: store.add(numbered(5, 40))
    )
    assert opened(store).count() == 12 and not {"n40", "n44"} <= {*opened(store).entries().names}


def test_texts_that_are_too_long_are_refused_and_change_nothing(store: MilvusStore) -> None:
    version, long = store.version, "x" * 65_536
    wide = replace(numbered(1, 20), attention=np.ones((1, 20_000), np.float32))
    for entries, what in [
        (named([long]), "its name would take 65,536 bytes; .* at most 65,535"),
        (named(["ü" * 40_000]), "its name would take 80,000 bytes"),
        (named(["x"], time=[long]), "its time would take"),
        (named(["x"], colour=[long]), "its details would take"),
        (wide, "its attention would take|do not fit"),
    ]:
        with pytest.raises(UserError, match=what) as raised:
            store.add(entries)
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
    with pytest.raises(UserError, match="n20: its attention would take"):
        MilvusStore.create(f"{store.address}_wide", wide, model=MODEL)
    assert not MilvusStore.exists(f"{store.address}_wide")
    assert opened(store).version == version and store.check() == 10
    store.add(named(["x" * 65_535], time=["t" * 65_535]))
    assert store.check() == 11


# reading and searching


@pytest.mark.usefixtures("small_requests")
def test_what_takes_many_requests_is_the_same(store: MilvusStore) -> None:
    store.add(named([f"m{number}" for number in range(21)], seed=1, colour=["red"] * 21))
    store.remove([f"m{number}" for number in range(0, 21, 2)])
    entries = store.entries()
    assert entries.names == (*numbered(10).names, *(f"m{number}" for number in range(1, 21, 2)))
    assert store.read(["name", "id"], order="name")["name"].tolist() == sorted(entries.names)
    assert store.read(["name"], order="name", first=3, most=9)["name"].tolist() == sorted(entries.names)[3:12]
    scores = entries.features[:3] @ entries.features.T
    assert store.best(entries.features[:3], 20).ids.tolist() == entries.ids[np.argsort(-scores, axis=1)].tolist()


def test_a_search_for_more_than_milvus_answers_is_exact(addresses: NewStores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vehicle_reid.gallery.milvus.store.INDEXED_FROM", 5)
    monkeypatch.setattr("vehicle_reid.gallery.milvus.store.MOST_ROWS", 30)
    store, calls = addresses(numbered(60), "approximate"), []
    nearest = Collection.nearest
    monkeypatch.setattr(Collection, "nearest", lambda *given: calls.append(given) or nearest(*given))
    query = store.entries().features[:3]
    few, many = store.best(query, 20), store.best(query, 40)
    assert len(calls) == 1 and (many.ids >= 0).all()
    np.testing.assert_array_equal(few.ids, many.ids[:, :20])
    np.testing.assert_array_equal(few.scores, many.scores[:, :20])


# damage


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "m4"),
        ("camera", 77),
        ("feature", [1.0] + [0.0] * (CHANNELS - 1)),
        ("boxes", ""),
        ("attention", "AAAA"),
        ("labels", "not base64"),
        ("crc", 1),
        ("vehicle", "8"),
        ("time", "2024"),
        ("_words", "x"),
        ("_details", {"colour": "red"}),
        ("_details", [1]),
    ],
)
def test_every_column_is_checked(addresses: NewStores, column: str, value: Any) -> None:
    store = addresses(named([f"n{row}" for row in range(9)], colour=["blue"] * 9))
    change_row(store, 4, **{column: value})
    requires_one_line(store.address, "damaged|not a valid gallery.*; delete it and build it again", store.check)
    if column != "_words":  # which is no part of an image
        requires_one_line(store.address, "delete it and build it again", lambda: opened(store))


def test_names_that_are_there_twice_are_found(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vehicle_reid.gallery.milvus.store.require_new", lambda *_: None)  # two processes at once
    store.add(numbered(1))
    requires_one_line(store.address, "n0: its name occurs more than once; delete it", store.check)
    assert store.count(EVERY) == 11
