"""Galleries in LanceDB and Milvus for tests: images with hostile names and details, and what they must be again."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from data_cache.base.tensors import save_tensors
from helpers.places.api import random_entries
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.lance import upkeep
from vehicle_reid.gallery.lance.store import LanceStore
from vehicle_reid.gallery.store import Fingerprint, Store
from vehicle_reid.gallery.stores import store_at

AnyStore = TypeVar("AnyStore", bound=Store)
MODEL: dict[str, str | None] = {"checkpoint": "a" * 64, "detector": None}
HOSTILE = (
    "it's",
    "''",
    '"a"',
    "a\\b",
    "\\'",
    "%_",
    "`id`",
    "ü 漢字 😀",
    "İß",
    "--",
    "a;b",
    "$1 ?",
    "a/b c.jpg",
    "NULL",
    "\\",
)


def named(names: Sequence[str], seed: int = 0, **details: Sequence[str]) -> Entries:
    """Return random entries with these names and details."""
    entries = random_entries(len(names), seed=seed)
    return replace(entries, names=tuple(names), details=pd.DataFrame({key: list(it) for key, it in details.items()}))


def numbered(count: int, first: int = 0) -> Entries:
    """Return random entries with the names n0, n1, ... from `first` on."""
    return named([f"n{number}" for number in range(first, first + count)], seed=first)


def stored(folder: Path, entries: Entries, index: str = "exact") -> LanceStore:
    """Return a new gallery of these entries, in `folder`/gallery."""
    return LanceStore.create(str(folder / "gallery"), entries, model=MODEL, index=index)


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """Run a Milvus server on this machine, in a thread, and yield its address."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(folder))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
        database.close()


class NewStores:
    """Makes galleries of one kind of store, each at an address of its own."""

    def __init__(self, base: str, prefix: str = "gallery") -> None:
        """Make them in a folder or at a server, with names that begin with `prefix`."""
        self._begin, self._numbers = f"{base}/{prefix}", itertools.count()

    def address(self) -> str:
        """Return an address at which nothing is."""
        return f"{self._begin}{next(self._numbers)}"

    def __call__(self, entries: Entries, index: str = "exact") -> Store:
        """Return a new gallery of these entries."""
        address = self.address()
        return store_at(address).create(address, entries, model=MODEL, index=index)


def opened(store: AnyStore) -> AnyStore:
    """Return the gallery, opened again as another process would."""
    return type(store).open(store.address, MODEL)


def write_old(path: Path, entries: Entries, index: str = "exact", model: Fingerprint = MODEL) -> None:
    """Write a gallery as versions before 0.6 did."""
    arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(entries, name))) for name in ARRAYS}
    arrays["names"] = torch.from_numpy(np.frombuffer("\0".join(entries.names).encode(), np.uint8).copy())
    save_tensors(path, arrays, {"kind": "gallery", "schema": 1, "model": dict(model), "index": {"kind": index}})


def assert_same(found: Entries, wanted: Entries, columns: Sequence[str] = ("vehicle", "time")) -> None:
    """Compare entries bit for bit, but for their ids; a missing column is one of ""."""
    assert found.names == wanted.names
    for name in ARRAYS[1:]:
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.dtype == other.dtype
        if len(wanted) or name != "attention":  # of no image, nothing says how long it is
            np.testing.assert_array_equal(one, other, strict=True)
    for column in columns:
        values = wanted.details[column].tolist() if column in wanted.details else [""] * len(wanted)
        assert found.details[column].tolist() == values


def write_batches(arguments: Sequence[str]) -> None:
    """Add n0 to n2, n3 to n5, ... from a number on for ever, remove each n that 4 divides, and print what is done."""
    upkeep.FEWEST_FILES = 3  # so that a kill hits merging too
    address, first = arguments
    store = LanceStore.open(address, MODEL)
    for number in itertools.count(int(first), 3):
        store.add(numbered(3, number))
        if number % 4 == 0:
            store.remove([f"n{number}"])
        print(number, flush=True)


def report_names(arguments: Sequence[str]) -> None:
    """Print the names in a gallery whenever it has changed, until it is empty."""
    (address,) = arguments
    store, version = LanceStore.open(address, MODEL), 0
    while store.count():
        if store.refresh() != version:
            version = store.version
            print("names", *store.entries().names, flush=True)
