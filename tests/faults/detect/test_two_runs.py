"""Two runs on one output: the second is refused in one line and does no harm, whenever it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.faults.detection import Run, here, leftovers, one_line, start, wait_until
from helpers.faults.traps import Pause, Watch
from helpers.places.stand_in import data_set, words

IMAGES, SHARDS = 21, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for four shards, and beside them the cache of an undisturbed run."""
    folder = data_set(tmp_path_factory.mktemp("data") / "toy", IMAGES)
    assert here(words(folder, folder.parent / "whole.h5")).code == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def paused(data: Path, place: Path, at: int, name: str, workers: int = 0) -> Iterator[Run]:
    """Start a run and wait until it stands before call number `at` of that name; at the end let it go on."""
    place.mkdir()
    (place / "run").mkdir()
    run = start(words(data, place / "run/parts.h5", workers=workers), place / "log", Pause(at, name, folder=place))
    try:
        wait_until((place / "paused").exists)
        yield run
    finally:
        (place / "go").touch()
        run.wait()


def assert_whole(data: Path, output: Path) -> None:
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    assert leftovers(output) == []


@pytest.mark.parametrize(
    ("at", "name", "workers"),
    [(1, "detect", 0), (4, "detect", 2), (2, "write_bytes", 0), (SHARDS + 1, "mkstemp", 0), (2 * SHARDS + 1, "fsync", 0)],
)
def test_a_second_run_is_refused_and_the_first_ends_as_if_alone(
    data: Path, tmp_path: Path, at: int, name: str, workers: int
) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", at, name, workers) as first:
        before = contents(output.parent)
        for more in ([], ["--limit", "20"], ["--batch-size", "1"]):
            watch = Watch(name="detect")
            one_line(here(words(data, output, *more), watch), "another run", str(first.process.pid), "wait for it")
            assert not watch.seen
        assert contents(output.parent) == before
    assert first.wait().code == 0
    assert_whole(data, output)


def test_a_second_run_finds_the_cache_finished_while_the_first_clears_up(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", 1, "rmtree") as first:
        watch = Watch(name="detect")
        second = here(words(data, output), watch)
        assert second.code == 0 and "finished before" in second.told and not watch.seen
    assert first.wait().code == 0
    assert_whole(data, output)


@pytest.mark.parametrize(("at", "name"), [(1, "mkdir"), (1, "open"), (1, "detect")])
def test_a_run_overtaken_by_another_ends_with_the_same_bytes(data: Path, tmp_path: Path, at: int, name: str) -> None:
    output = tmp_path / "0/run/parts.h5"
    with paused(data, tmp_path / "0", at, name) as slow:
        other = here(words(data, output))
        if name == "detect":  # it holds the lock by then
            one_line(other, "another run")
        else:
            assert other.code == 0, other.told
            assert_whole(data, output)
    assert slow.wait().code == 0, slow.wait().told
    assert_whole(data, output)
