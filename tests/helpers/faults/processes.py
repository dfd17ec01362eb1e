"""Commands in processes of their own, each the leader of a session, and what is left of them after they have ended."""

import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from helpers.faults.traps import PATIENCE

Program = Callable[[Sequence[str]], Any]  # runs a command line; must be picklable
PRELOADED = "helpers.faults.preloaded"
PROCESSES = multiprocessing.get_context("forkserver")


class Ended(NamedTuple):
    """Exit code of a command, or minus the signal that ended it, and what it printed."""

    code: int
    output: str

    def error_lines(self) -> list[str]:
        """Return the lines that begin with Error."""
        return [line for line in self.output.splitlines() if line.startswith("Error: ")]


@dataclass(frozen=True)
class Run:
    """A running command. It prints to `log`; `scratch` is its folder for temporary files."""

    process: Any
    log: Path
    scratch: Path

    @property
    def session(self) -> int:
        """The id of its session and process group, which is that of its leader."""
        return int(self.process.pid)

    def code(self, seconds: float) -> int | None:
        """Wait at most so long; return the exit code, or minus the signal that ended it, or None if it still runs."""
        self.process.join(max(seconds, 0.0))
        return None if self.process.exitcode is None else int(self.process.exitcode)

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self) -> Ended:
        """Wait for its end. Raises AssertionError, and kills it, if it hangs."""
        code = self.code(PATIENCE)
        if code is None:
            self.send(signal.SIGKILL, group=True)
            raise AssertionError(f"the run hangs: {self.output()}")
        return Ended(code, self.output())

    def send(self, number: signal.Signals, *, group: bool) -> None:
        """Send a signal to the leader or to its whole group, unless it has just ended."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.session, number)

    def workers(self) -> list[int]:
        """Return its other processes, without Python's resource tracker."""
        return sorted(one for one in living(self.session) - {self.session} if not _is_tracker(one))


def start(program: Program, arguments: Sequence[str], log: Path) -> Run:
    """Start `program(arguments)` in a process and session of its own; its temporary files go beside `log`."""
    _start_server()
    log.write_text("")
    scratch = log.with_suffix(".tmp")
    scratch.mkdir(exist_ok=True)
    process = PROCESSES.Process(target=_child, args=(program, list(arguments), log, scratch))
    process.start()
    return Run(process, log, scratch)


@functools.cache
def _start_server() -> None:
    """Start the server that all processes are forked from, and wait until it has imported `PRELOADED`."""
    PROCESSES.set_forkserver_preload([PRELOADED])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))):
        forkserver.ensure_running()
    first = PROCESSES.Process(target=_require_preloaded)
    first.start()
    first.join()
    assert first.exitcode == 0, f"the server could not import {PRELOADED}"


def _require_preloaded() -> None:
    sys.exit(PRELOADED not in sys.modules)


def _child(program: Program, arguments: Sequence[str], log: Path, scratch: Path) -> None:
    os.setsid()
    # as from a terminal; processes in the background inherit that these are ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    tracker: Any = resource_tracker._resource_tracker
    tracker._fd = tracker._pid = None  # use one of its own, as a program started from a shell does
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # the system's default
    program(arguments)


def living(group: int) -> set[int]:
    """Return the processes of a group that have not ended."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = entry.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(own) == group and state != "Z":
            found.add(int(entry.parent.name))
    return found


def _is_tracker(process: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return True


def waited(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait for a condition for at most so long; return whether it came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)
    return True
