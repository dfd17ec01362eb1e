"""Small programs to kill: one that survives it, and others with a fault that `soak.crash` must find.

`write PLACE` writes eight lines to a file, resumes an earlier run, and ends in order on SIGTERM.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import remove_temporary_files, replacing
from data_cache.base.locks import run_lock
from data_cache.base.signals import Terminated, sigterm_raises
from soak.chain import Chain, Steps

LINES, PAUSE = 8, 0.03


def sound(arguments: Sequence[str]) -> None:
    """Survive every kill, also of the worker."""
    worker = os.fork()
    if not worker:
        time.sleep(PAUSE * LINES)
        os._exit(0)
    if os.waitpid(worker, 0)[1]:
        sys.stderr.write("Error: a worker was killed\n")
        sys.exit(1)
    _run(lambda file: _write(file, "line"), arguments)


def loses_work(arguments: Sequence[str]) -> None:
    """Write other lines when resuming."""
    _run(lambda file: _write(file, "other" if file.exists() else "line"), arguments)


def cannot_resume(arguments: Sequence[str]) -> None:
    """Fail if an earlier run has started and not finished."""
    file = Path(arguments[1]) / "file"
    if file.exists() and len(file.read_text().splitlines()) < LINES:
        sys.exit(1)
    _run(lambda file: _write(file, "line"), arguments)


def leaves_files(arguments: Sequence[str]) -> None:
    """Do not remove what a killed run left."""
    _run(lambda file: _write(file, "line", tidy=False), arguments)


def leaves_a_process(arguments: Sequence[str]) -> None:
    """Leave a process behind when killed."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _run(lambda file: _write(file, "line"), arguments)
    process.kill()
    process.wait()


def ignores_sigterm(arguments: Sequence[str]) -> None:
    """Do not end on SIGTERM."""
    try:
        with sigterm_raises():
            _write(Path(arguments[1]) / "file", "line")
    except Terminated:
        time.sleep(600)


def chain_of(program: Callable[[Sequence[str]], None], *, workers: bool = False) -> Chain:
    """Return a chain of one command, with workers or without."""
    return Chain(program, _steps, ("write",) if workers else ())


def _steps(place: Path) -> Steps:
    return {"write": ["write", str(place)]}


def _run(work: Callable[[Path], None], arguments: Sequence[str]) -> None:
    place = Path(arguments[1])
    try:
        with sigterm_raises(), run_lock(place):
            work(place / "file")
    except (UserError, Terminated) as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)


def _write(file: Path, word: str, *, tidy: bool = True) -> None:
    if tidy:
        remove_temporary_files(file)
    lines = file.read_text().splitlines() if file.exists() else []
    for number in range(len(lines), LINES):
        with replacing(file) as temporary:
            lines.append(f"{word} {number}")
            temporary.write_text("\n".join(lines))
            time.sleep(PAUSE)
