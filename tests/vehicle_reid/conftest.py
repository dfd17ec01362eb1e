"""Fixtures of the tests of the Python API: a trained toy run, its gallery images, and a Milvus server."""

from collections.abc import Iterator

import pytest

from helpers.places.api import ToyRun, make_toy_run, small_networks
from helpers.places.stored import milvus_server
from vehicle_reid import VehicleReID


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """A trained toy run."""
    with small_networks():
        return make_toy_run(tmp_path_factory.mktemp("toy_run"))


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Milvus server."""
    with milvus_server(tmp_path_factory.mktemp("milvus")) as address:
        yield address


@pytest.fixture(scope="module")
def toy_run(trained_run: ToyRun) -> Iterator[ToyRun]:
    """The trained toy run, with small networks in place of the real ones."""
    with small_networks():
        yield trained_run


@pytest.fixture(scope="module")
def model(toy_run: ToyRun) -> VehicleReID:
    """The trained toy run, loaded."""
    return toy_run.model()
