"""Stage one ended from outside, at any moment: run again, it ends with the same bytes and leaves nothing else."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.parts.shards import shards_folder
from helpers.faults.detection import Ended, Run, here, leftovers, living, one_line, start, undisturbed_calls, wait_until
from helpers.faults.traps import Kill, Pause, Watch
from helpers.places.stand_in import data_set, words

IMAGES = 64
KILLS = 30
SIGNALS = ((signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True))  # and whether workers get it too
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


class KillWorker(Watch):
    """Ends one of the processes that read images, as the out-of-memory killer does."""

    def act(self, name: str, arguments: Sequence[Any]) -> None:
        os.kill(min(worker.pid or 0 for worker in multiprocessing.active_children()), signal.SIGKILL)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for eleven shards, one of them damaged."""
    return data_set(tmp_path_factory.mktemp("data") / "many", IMAGES)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for two shards."""
    return data_set(tmp_path_factory.mktemp("data") / "few", 9)


@pytest.fixture(scope="module")
def calls(data: Path) -> list[str]:
    return undisturbed_calls(data)


def folder(place: Path) -> Path:
    place.mkdir()
    return place / "parts.h5"


def assert_whole(output: Path, data: Path) -> None:
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()


def test_a_run_killed_at_any_call_and_run_again_ends_with_the_same_bytes(
    data: Path, calls: list[str], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    killed, outputs = 0, [folder(tmp_path / "0")]
    while killed < KILLS:
        trap = Kill(int(random.integers(1, 3 * len(calls) // 4)))
        run = start(words(data, outputs[-1], workers=killed % 3), tmp_path / "log", trap)
        ended = run.wait()
        if ended.code == 0:
            assert_whole(outputs[-1], data)
            outputs.append(folder(tmp_path / str(len(outputs))))
            continue
        assert ended.code == -signal.SIGKILL, ended.told
        killed += 1
    assert here(words(data, outputs[-1])).code == 0
    assert_whole(outputs[-1], data)
    assert len(outputs) > 3
    assert [leftovers(output) for output in outputs] == [[]] * len(outputs)


def test_a_run_killed_at_any_time_and_run_again_ends_with_the_same_bytes(
    data: Path, calls: list[str], tmp_path: Path
) -> None:
    begun = time.monotonic()
    assert start(words(data, tmp_path / "first.h5", workers=2), tmp_path / "log").wait().code == 0
    lasts = time.monotonic() - begun
    outputs, codes = [folder(tmp_path / "0")], set()
    for seconds in np.random.default_rng(1).uniform(0, lasts, 12):
        run = start(words(data, outputs[-1], workers=2), tmp_path / "log")
        time.sleep(float(seconds))
        run.process.kill()
        ended = run.wait()
        codes.add(ended.code)
        if ended.code == 0:
            assert_whole(outputs[-1], data)
            outputs.append(folder(tmp_path / str(len(outputs))))
    assert codes <= {0, -signal.SIGKILL}
    assert here(words(data, outputs[-1])).code == 0
    assert_whole(outputs[-1], data)
    assert [leftovers(output) for output in outputs] == [[]] * len(outputs)


def killed_at(calls: Sequence[int], arguments: Sequence[str], output: Path, log: Path) -> Iterator[int]:
    """Yield each of `calls` after a run that was killed before it, and was then run again to its end."""
    finished = output.read_bytes() if output.exists() else None
    for at in calls:
        shutil.rmtree(output.parent)
        folder(output.parent)
        if finished is not None:
            output.write_bytes(finished)
        assert start(arguments, log, Kill(at)).wait().code == -signal.SIGKILL
        again = here(arguments)
        assert again.code == 0, (at, again.told)
        yield at


def test_a_run_killed_while_it_merges_leaves_the_same_bytes_and_nothing_else(few: Path, tmp_path: Path) -> None:
    watch, output = Watch(), folder(tmp_path / "0")
    assert here(words(few, few.parent / "whole.h5"), watch).code == 0
    merge = max(number for number, name in enumerate(watch.seen, start=1) if name == "mkstemp")
    left = {}
    for at in killed_at(range(merge, len(watch.seen) + 1), words(few, output), output, tmp_path / "log"):
        assert_whole(output, few)
        left[at, watch.seen[at - 1]] = leftovers(output)
    assert not any(left.values()), left


def test_a_run_killed_while_it_mends_a_finished_cache_leaves_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    data, output = data_set(tmp_path / "data", 9), folder(tmp_path / "0")
    assert here(words(data, output)).code == 0
    before = output.read_bytes()
    sound = data_set(tmp_path / "sound", 9, damaged=None)  # the same pictures; one could not be read before
    shutil.copytree(sound / "images", data / "images", dirs_exist_ok=True)
    assert here(words(data, tmp_path / "whole.h5")).code == 0
    watch = Watch()
    assert here(words(data, output), watch).code == 0
    assert_whole(output, data)
    output.write_bytes(before)
    left = {}
    for at in killed_at(range(1, len(watch.seen) + 1, 2), words(data, output), output, tmp_path / "log"):
        assert_whole(output, data)
        left[at, watch.seen[at - 1]] = leftovers(output)
    assert not any(left.values()), left


def test_a_reading_process_that_is_killed_ends_the_run_with_one_line(
    data: Path, calls: list[str], tmp_path: Path
) -> None:
    output = folder(tmp_path / "0")
    ended = start(words(data, output, workers=2), tmp_path / "log", KillWorker(3, "detect")).wait()
    assert ended.code == 1 and not output.exists()
    assert list(shards_folder(output).glob("*.h5"))
    assert here(words(data, output)).code == 0
    assert_whole(output, data)
    assert leftovers(output) == []
    one_line(ended, "worker")


def signalled(data: Path, place: Path, number: signal.Signals, *, group: bool) -> tuple[Run, Ended]:
    """Return a run that gets a signal after its second shard, and how it ended.

    With `group` its workers get the signal too, as from a terminal or a batch system, and have ended when it wakes.
    """
    output = folder(place)
    run = start(words(data, output, workers=2), place / "log", Pause(5, "detect", folder=place))
    wait_until((place / "paused").exists)
    if group:
        os.kill(run.process.pid, signal.SIGSTOP)
        os.killpg(run.process.pid, number)
        wait_until(lambda: living(run.process.pid) == {run.process.pid})
        os.kill(run.process.pid, signal.SIGCONT)
    else:
        os.kill(run.process.pid, number)
    return run, run.wait()


@needs_proc
def test_a_signal_ends_the_run_and_its_workers_and_loses_nothing(data: Path, calls: list[str], tmp_path: Path) -> None:
    runs = []
    for number, group in (*SIGNALS, (signal.SIGHUP, False), (signal.SIGKILL, False)):
        place = tmp_path / f"{number.name}{group}"
        run, ended = signalled(data, place, number, group=group)
        assert ended.code in (1, 128 + number, -number), ended
        assert len(list(shards_folder(place / "parts.h5").glob("*.h5"))) == 2
        runs.append((place / "parts.h5", run))
    for output, run in runs:
        again = here(words(data, output))
        assert again.code == 0 and "12 of 64 images were finished before" in again.told
        assert_whole(output, data)
        wait_until(lambda group=run.process.pid: not living(group))


@needs_proc
@pytest.mark.parametrize(("number", "group"), SIGNALS)
def test_a_signal_gives_one_line_and_no_traceback(
    data: Path, calls: list[str], tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    _, ended = signalled(data, tmp_path / "0", number, group=group)
    assert "Traceback" not in ended.told, ended.told
    assert len([line for line in ended.told.splitlines() if line.strip()]) == 1, ended.told
