"""Programs in processes of their own, each the leader of a session, and what is left of them once they have ended."""

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
from typing import Any

import cli
from helpers.faults.detection import PROCESSES, living

Program = Callable[[Sequence[str]], Any]
SHARED = Path("/dev/shm")
PRELOADED = ("pytest", "soak.processes", "soak.fuzz", "soak.preloaded")


def product(arguments: Sequence[str]) -> None:
    """Run `python cli.py ARGUMENTS`, on one thread."""
    import torch

    torch.set_num_threads(1)
    sys.modules["__main__"] = cli  # what a process of a pool imports first
    cli.main(arguments, prog_name="cli.py")


@dataclass(frozen=True)
class Run:
    """A program under way. What it says goes to `log`; `scratch` is its folder for temporary files."""

    process: Any
    log: Path
    scratch: Path

    @property
    def session(self) -> int:
        """The number of its session and of its group, which is that of its leader."""
        return int(self.process.pid)

    def code(self, seconds: float) -> int | None:
        """Wait so long for the leader's end; return its exit code, minus the signal that ended it, or None."""
        self.process.join(max(seconds, 0.0))
        return None if self.process.exitcode is None else int(self.process.exitcode)

    def told(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text(errors="replace")

    def last_line(self) -> str:
        """Return the last line of that which is not empty."""
        return next((line for line in reversed(self.told().splitlines()) if line.strip()), "")

    def send(self, number: signal.Signals, *, group: bool) -> None:
        """Send a signal to the leader or to its whole group; where that has just ended, to nobody."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.session, number)

    def workers(self) -> list[int]:
        """Return the processes that work for it; the one that watches over semaphores does not."""
        others = living(self.session) - {self.session}
        return sorted(number for number in others if b"resource_tracker" not in _of_process(number, "cmdline"))

    def shared_files(self) -> set[Path]:
        """Return the files of shared memory that its processes have open, by the names that they had when made."""
        maps = b"".join(_of_process(number, "maps") for number in living(self.session)).decode(errors="replace")
        names = {line[line.index(str(SHARED)) :].split(" ")[0] for line in maps.splitlines() if f" {SHARED}/" in line}
        return {Path(name) for name in names}


def begin() -> None:
    """Start the server that every program is forked from, with what the product imports, and wait until it is ready."""
    PROCESSES.set_forkserver_preload(list(PRELOADED))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the server sees no other path
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    first = PROCESSES.Process(target=os.getpid)
    first.start()
    first.join()


def start(program: Program, arguments: Sequence[str], log: Path, scratch: Path) -> Run:
    """Start a program in a process of its own, in a session of its own."""
    log.write_text("")
    scratch.mkdir(parents=True)
    process = PROCESSES.Process(target=_child, args=(program, list(arguments), log, scratch))
    process.start()
    return Run(process, log, scratch)


def _child(program: Program, arguments: Sequence[str], log: Path, scratch: Path) -> None:
    os.setsid()
    # as from a terminal, also where the tests run in the background, whose processes inherit that these are ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    tracker: Any = resource_tracker._resource_tracker
    tracker._fd = tracker._pid = None  # one of its own, as a program has that a shell has started
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # the system's own
    program(arguments)


def _of_process(number: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{number}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""


def waited(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition for so long; return whether it came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)
    return True
