"""Stage one killed at any call or moment: run again, it ends with the same bytes and leaves nothing else."""

import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data_cache.parts.shards import shards_folder
from helpers.faults.detection import KillWorker, assert_one_line, here, leftovers, start, undisturbed_calls
from helpers.faults.processes import Ended, Run, living, waited
from helpers.faults.traps import Kill, Pause
from helpers.places.stand_in import data_set, words

IMAGES = 64
KILLS = 30
SIGNALS = ((signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True))  # and whether workers get it too
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for eleven shards, one of them damaged, and beside them the cache of an undisturbed run."""
    folder = data_set(tmp_path_factory.mktemp("data") / "many", IMAGES)
    assert here(words(folder, folder.parent / "whole.h5")).code == 0
    return folder


def new_output(place: Path) -> Path:
    place.mkdir()
    return place / "parts.h5"


def assert_whole(output: Path, data: Path) -> None:
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    assert leftovers(output) == []


def test_run_killed_at_any_call_and_repeated_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    calls = len(undisturbed_calls(data, new_output(tmp_path / "calls")))
    random = np.random.default_rng(0)
    killed, outputs = 0, [new_output(tmp_path / "0")]
    while killed < KILLS:
        trap = Kill(outputs[-1].parent, int(random.integers(1, 3 * calls // 4)))
        ended = start(words(data, outputs[-1], workers=killed % 3), tmp_path / "log", trap).wait()
        if ended.code == 0:
            outputs.append(new_output(tmp_path / str(len(outputs))))
            continue
        assert ended.code == -signal.SIGKILL, ended.output
        killed += 1
    assert here(words(data, outputs[-1])).code == 0
    assert len(outputs) > 3
    for output in outputs:
        assert_whole(output, data)


def test_run_killed_at_any_time_and_repeated_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    assert start(words(data, tmp_path / "first.h5", workers=2), tmp_path / "log").wait().code == 0
    duration = time.monotonic() - started
    outputs = [new_output(tmp_path / "0")]
    for seconds in np.random.default_rng(1).uniform(0, duration, 12):
        run = start(words(data, outputs[-1], workers=2), tmp_path / "log")
        time.sleep(float(seconds))
        run.send(signal.SIGKILL, group=False)
        ended = run.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.output
        if ended.code == 0:
            outputs.append(new_output(tmp_path / str(len(outputs))))
    assert here(words(data, outputs[-1])).code == 0
    for output in outputs:
        assert_whole(output, data)


def assert_kills_cost_nothing(calls: Sequence[int], data: Path, output: Path, log: Path) -> None:
    """For each of `calls`, kill a run before it, starting from the current output, and repeat it."""
    finished = output.read_bytes() if output.exists() else None
    for at in calls:
        shutil.rmtree(output.parent)
        new_output(output.parent)
        if finished is not None:
            output.write_bytes(finished)
        assert start(words(data, output), log, Kill(output.parent, at)).wait().code == -signal.SIGKILL
        again = here(words(data, output))
        assert again.code == 0, (at, again.output)
        assert_whole(output, data)


def test_run_killed_while_it_merges_the_shards_costs_nothing(tmp_path: Path) -> None:
    few, output = data_set(tmp_path / "few", 9), new_output(tmp_path / "0")
    calls = undisturbed_calls(few, output)
    output.rename(tmp_path / "whole.h5")
    merge = max(number for number, (name, _) in enumerate(calls, start=1) if name == "rename") - 4
    assert_kills_cost_nothing(range(merge, len(calls) + 1), few, output, tmp_path / "log")


def test_run_killed_while_it_retries_failed_images_of_a_finished_cache_costs_nothing(tmp_path: Path) -> None:
    data, output = data_set(tmp_path / "data", 9), new_output(tmp_path / "0")
    assert here(words(data, output)).code == 0
    before = output.read_bytes()
    sound = data_set(tmp_path / "sound", 9, damaged=None)  # the same pictures, now all readable
    shutil.copytree(sound / "images", data / "images", dirs_exist_ok=True)
    assert here(words(data, tmp_path / "whole.h5")).code == 0
    calls = undisturbed_calls(data, output)
    assert_whole(output, data)
    output.write_bytes(before)
    assert_kills_cost_nothing(range(1, len(calls) + 1, 2), data, output, tmp_path / "log")


def test_killed_worker_ends_the_run_with_one_line(data: Path, tmp_path: Path) -> None:
    output = new_output(tmp_path / "0")
    trap = KillWorker(output.parent, 3, only=("detect",))
    ended = start(words(data, output, workers=2), tmp_path / "log", trap).wait()
    assert_one_line(ended, "worker")
    assert not output.exists() and list(shards_folder(output).glob("*.h5"))
    assert here(words(data, output)).code == 0
    assert_whole(output, data)


def signalled(data: Path, place: Path, number: signal.Signals, *, group: bool) -> tuple[Run, Ended]:
    """Send a signal to a run after its second shard; return the run and how it ended.

    With `group` its workers get the signal too, as from a terminal or a batch system, and have ended when it wakes up.
    """
    output = new_output(place)
    trap = Pause(place, 5, only=("detect",), signals=place)
    run = start(words(data, output, workers=2), place.with_suffix(".log"), trap)
    assert waited((place / "paused").exists)
    if group:
        run.send(signal.SIGSTOP, group=False)
        run.send(number, group=True)
        assert waited(lambda: living(run.session) == {run.session})
        run.send(signal.SIGCONT, group=False)
    else:
        run.send(number, group=False)
    ended = run.wait()
    (place / "paused").unlink()
    return run, ended


@needs_proc
@pytest.mark.parametrize(("number", "group"), [*SIGNALS, (signal.SIGHUP, False), (signal.SIGKILL, False)])
def test_signal_ends_the_run_and_its_workers_and_loses_nothing(
    data: Path, tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    run, ended = signalled(data, tmp_path / "0", number, group=group)
    assert ended.code in (1, 128 + number, -number), ended
    if (number, group) in SIGNALS:
        assert len([line for line in ended.output.splitlines() if line.strip()]) == 1, ended.output
    output = tmp_path / "0/parts.h5"
    assert len(list(shards_folder(output).glob("*.h5"))) == 2
    again = here(words(data, output))
    assert again.code == 0 and "12 of 64 images were finished before" in again.output
    assert_whole(output, data)
    assert waited(lambda: not living(run.session))
