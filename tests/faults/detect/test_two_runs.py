"""Two detections with one output: the second is refused in one line and does no harm, whenever it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.faults.detection import assert_one_line, here, leftovers, start
from helpers.faults.processes import Run, waited
from helpers.faults.traps import Pause, Trap
from helpers.places.stand_in import data_set, words
from soak.trees import read_tree

IMAGES, SHARDS = 21, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for four shards, and beside them the cache of an undisturbed run."""
    folder = data_set(tmp_path_factory.mktemp("data") / "toy", IMAGES)
    assert here(words(folder, folder.parent / "whole.h5")).code == 0
    return folder


@contextmanager
def paused(data: Path, place: Path, name: str, at: int, workers: int = 0) -> Iterator[Run]:
    """Start a run that waits before call number `at` of that name; let it continue at the end."""
    (place / "run").mkdir(parents=True)
    trap = Pause(place / "run", at, only=(name,), signals=place)
    run = start(words(data, place / "run/parts.h5", workers=workers), place / "log", trap)
    try:
        assert waited((place / "paused").exists)
        yield run
    finally:
        (place / "go").touch()
        run.wait()


def no_detection() -> Trap:
    return Trap(Path("/"), only=("detect",))


def assert_whole(data: Path, output: Path) -> None:
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    assert leftovers(output) == []


@pytest.mark.parametrize(
    ("name", "at", "workers"),
    [("detect", 1, 0), ("detect", 4, 2), ("rename", 2, 0), ("rename", SHARDS + 1, 0), ("fsync", 2 * SHARDS + 1, 0)],
)
def test_second_run_is_refused_and_the_first_is_undisturbed(
    data: Path, tmp_path: Path, name: str, at: int, workers: int
) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", name, at, workers) as first:
        before = read_tree(output.parent)
        for more in ([], ["--limit", "20"], ["--batch-size", "1"]):
            trap = no_detection()
            assert_one_line(here(words(data, output, *more), trap), "another run", str(first.session), "wait for it")
            assert not trap.seen
        assert read_tree(output.parent) == before
    assert first.wait().code == 0
    assert_whole(data, output)


def test_second_run_finds_the_cache_finished_while_the_first_removes_its_shards(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", "rmtree", 1) as first:
        trap = no_detection()
        second = here(words(data, output), trap)
        assert second.code == 0 and "finished before" in second.output and not trap.seen
    assert first.wait().code == 0
    assert_whole(data, output)


@pytest.mark.parametrize("name", ["mkdir", "detect"])
def test_overtaken_run_ends_with_the_same_bytes(data: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", name, 1) as slow:
        other = here(words(data, output))
        if name == "detect":  # the slow run holds the lock by then
            assert_one_line(other, "another run")
        else:
            assert other.code == 0, other.output
            assert_whole(data, output)
    assert slow.wait().code == 0, slow.output()
    assert_whole(data, output)
