"""Small programs to kill: one that survives it, and one with each fault that the soak must see.

`write PLACE` puts eight lines into a file, goes on where it was, and ends in order on SIGTERM.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import remove_strays, replacing
from data_cache.base.locks import run_lock
from data_cache.base.signals import Terminated, sigterm_raises
from soak.chain import Chain, Steps

LINES, PAUSE = 8, 0.03


def one_step(place: Path) -> Steps:
    """Return the one command of a toy chain."""
    return {"write": ["write", str(place)]}


def sound(arguments: Sequence[str]) -> None:
    """Survive."""
    _told(lambda file: _write(file, "line"), arguments)


def loses(arguments: Sequence[str]) -> None:
    """Write another word where an earlier run has begun."""
    _told(lambda file: _write(file, "other" if file.exists() else "line"), arguments)


def stuck(arguments: Sequence[str]) -> None:
    """Fail where an earlier run has begun and not finished."""
    file = Path(arguments[1]) / "file"
    if file.exists() and len(file.read_text().splitlines()) < LINES:
        sys.exit(1)
    sound(arguments)


def untidy(arguments: Sequence[str]) -> None:
    """Do not remove what a killed run left."""
    _told(lambda file: _write(file, "line", tidy=False), arguments)


def outside(arguments: Sequence[str]) -> None:
    """Leave a file in the system's folder for temporary ones when killed."""
    with tempfile.NamedTemporaryFile():
        sound(arguments)


def orphans(arguments: Sequence[str]) -> None:
    """Leave a process behind when killed."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    sound(arguments)
    process.kill()
    process.wait()


def loud(arguments: Sequence[str]) -> None:
    """Print a traceback on SIGTERM."""

    def fail(*_: object) -> None:
        raise RuntimeError("SIGTERM")

    signal.signal(signal.SIGTERM, fail)
    _write(Path(arguments[1]) / "file", "line")


def locked(arguments: Sequence[str]) -> None:
    """End at once on SIGTERM, the lock still there."""
    with run_lock(Path(arguments[1])):
        _write(Path(arguments[1]) / "file", "line")


def deaf(arguments: Sequence[str]) -> None:
    """Do not end on SIGTERM."""
    try:
        with sigterm_raises():
            _write(Path(arguments[1]) / "file", "line")
    except Terminated:
        time.sleep(600)


def lying(arguments: Sequence[str]) -> None:
    """End with 0 on SIGTERM, as if all had been done."""
    try:
        with sigterm_raises():
            _write(Path(arguments[1]) / "file", "line")
    except Terminated:
        sys.exit(0)


def careless(arguments: Sequence[str]) -> None:
    """Wait for a worker for ever that has been killed."""
    worker = os.fork()
    if not worker:
        time.sleep(PAUSE * LINES)
        os._exit(0)
    if os.waitpid(worker, 0)[1]:
        time.sleep(600)
    sound(arguments)


def careful(arguments: Sequence[str]) -> None:
    """End with one line where a worker has been killed."""
    worker = os.fork()
    if not worker:
        time.sleep(PAUSE * LINES)
        os._exit(0)
    if os.waitpid(worker, 0)[1]:
        sys.stderr.write("Error: a worker has ended\n")
        sys.exit(1)
    sound(arguments)


def failing(arguments: Sequence[str]) -> None:
    """Fail, disturbed or not."""
    raise UnicodeError("of its own")


def idle(arguments: Sequence[str]) -> None:
    """Do nothing."""


def toy_chain(program: Callable[[Sequence[str]], None], *, workers: bool = False) -> Chain:
    """Return a chain of one command, which has workers or not."""
    return Chain(program, one_step, ("write",) if workers else ())


def _told(work: Callable[[Path], None], arguments: Sequence[str]) -> None:
    place = Path(arguments[1])
    try:
        with sigterm_raises(), run_lock(place):
            work(place / "file")
    except (UserError, Terminated) as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)


def _write(file: Path, word: str, *, tidy: bool = True) -> None:
    if tidy:
        remove_strays(file)
    before = file.read_text().splitlines() if file.exists() else []
    for number in range(len(before), LINES):
        with replacing(file) as temporary:
            before.append(f"{word} {number}")
            temporary.write_text("\n".join(before))
            time.sleep(PAUSE)
