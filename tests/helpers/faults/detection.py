"""The command `detect` with a stand-in for its network, run here or in a process of its own, and how it ended."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from click.testing import CliRunner

from cli import main
from detect.model.detector import Detector
from detect.recipes import DetectorRecipe
from helpers.faults.traps import PATIENCE, Watch, trapped
from helpers.places.stand_in import StandIn, stand_in, words

# A process forked from one that has these imported starts in a moment. The stand-in is put in place after the fork,
# so nothing may stand here that imports `load_detector` by name.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "pytest",
        "torch",
        "h5py",
        "pandas",
        "PIL.Image",
        "cli",
        "data_cache.datasets.dataset",
        "detect.model.reading",
        "rich.table",
    ]
)


class Ended(NamedTuple):
    """How a run ended: exit code, minus the signal where one ended it, and what it wrote."""

    code: int
    told: str


@dataclass
class Run:
    """A run of the command in a process of its own, which leads a group of its own."""

    process: Any
    log: Path

    def wait(self) -> Ended:
        """Wait for its end; a run that hangs is killed and fails the test."""
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            pytest.fail(f"the run hangs: {self.log.read_text()}")
        return Ended(self.process.exitcode, self.log.read_text())


def here(
    arguments: Sequence[str], trap: Watch | None = None, make: Callable[[DetectorRecipe], Detector] = StandIn
) -> Ended:
    """Run the command in this process; an exception that it lets out is told as a traceback."""
    with stand_in(make), trapped(trap):
        result = CliRunner().invoke(main, arguments)
    escaped = "" if isinstance(result.exception, SystemExit | None) else f"Traceback: {result.exception!r}"
    return Ended(result.exit_code, result.output + escaped)


def undisturbed_calls(data: Path) -> list[str]:
    """All watched calls of an undisturbed run, whose cache then lies beside the data."""
    watch = Watch()
    assert here(words(data, data.parent / "whole.h5"), watch).code == 0
    return watch.seen


def one_line(ended: Ended, *parts: str) -> None:
    """Assert that a run ended with exit code 1 and one line of error, the last, that holds all of `parts`."""
    assert ended.code == 1 and "Traceback" not in ended.told, ended
    (line,) = [line for line in ended.told.splitlines() if line.startswith("Error: ")]
    assert ended.told.rstrip().endswith(line) and all(part in line for part in parts), ended.told


def start(arguments: Sequence[str], log: Path, trap: Watch | None = None, largest: int | None = None) -> Run:
    """Start the command in a process of its own, which may write no file of more bytes than `largest`.

    What it says goes to `log`; by how many KiB its peak of memory has grown, to `log` with the suffix .memory.
    """
    log.write_text("")
    process = PROCESSES.Process(target=_child, args=(list(arguments), log, trap, largest))
    process.start()
    return Run(process, log)


def _child(arguments: list[str], log: Path, trap: Watch | None, largest: int | None) -> None:
    os.setpgid(0, 0)
    # as from a terminal, also where the tests run in the background, whose processes inherit that these are ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    torch.set_num_threads(1)
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # the system's own
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with stand_in(), trapped(trap):
        try:
            main(arguments)
        finally:
            log.with_suffix(".memory").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def living(group: int) -> set[int]:
    """Return the processes of a group; one that has ended, and whose end nobody has asked for, does not live."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = entry.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(own) == group and state != "Z":
            found.add(int(entry.parent.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; give up, and fail the test, after a time that no sound run takes."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def leftovers(output: Path) -> list[str]:
    """Return what lies beside a finished cache: temporary files, shards, locks."""
    return sorted(path.name for path in output.parent.iterdir() if path != output)
