"""Fixtures of the tests of galleries: both kinds of stores."""

import itertools
from pathlib import Path

import pytest

from helpers.places.stored import NewStores

_bases = itertools.count()


@pytest.fixture(scope="module", params=["lance", "milvus"])
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewStores:
    """A maker of galleries that the tests of a module share, in LanceDB and in Milvus."""
    return _new_stores(request, tmp_path_factory.mktemp("stores"))


@pytest.fixture(params=["lance", "milvus"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStores:
    """A maker of galleries in LanceDB and in Milvus: what a test states of them is so of every store."""
    return _new_stores(request, tmp_path)


def _new_stores(request: pytest.FixtureRequest, folder: Path) -> NewStores:
    if request.param == "lance":
        return NewStores(str(folder))
    return NewStores(f"{request.getfixturevalue('milvus')}/default", prefix=f"stores{next(_bases)}_")
