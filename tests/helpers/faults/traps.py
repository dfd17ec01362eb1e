"""Traps at the calls by which Python changes a disk: record them, fail one of them, pause or kill the process at it.

Audit hooks see every call of this process, also those of libraries, except code that writes files from C or Rust;
`file_size_limit` makes those fail. `sys.audit("detect")` and `shutil.rmtree` can be trapped by name as well.
"""

import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

PATIENCE = 120.0  # seconds before a run that should have ended counts as hanging
CALLS = {
    "os.chmod": "chmod",
    "os.mkdir": "mkdir",
    "os.remove": "unlink",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
}
MARKS = {"detect": "detect", "shutil.rmtree": "rmtree"}  # trapped only if `only` names them
EVENTS = {"open", "os.rename", *CALLS, *MARKS}
# what a read-only folder refuses
READ_ONLY_REFUSES = ("chmod", "mkdir", "open to write", "rename", "rmdir", "truncate", "unlink", "write")


@dataclass
class Trap:
    """Record the calls on paths below `folder`; call number `at` (from 1), or all from it on, fail with `reason`.

    `only` restricts it to calls of these names. `renamed` holds what was renamed to each path: the content of a file,
    or the names in a folder.
    """

    folder: Path
    at: int = 0
    reason: int = 0
    lasting: bool = False
    only: tuple[str, ...] = ()
    seen: list[tuple[str, Path]] = field(default_factory=list)
    renamed: dict[Path, list[bytes | frozenset[str]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, name: str, path: Path) -> bool:
        """Record a call that is about to be made; act if it is the chosen one. Return whether it was recorded."""
        counted = name in self.only if self.only else name not in MARKS.values()
        if not counted or not path.is_relative_to(self.folder):
            return False
        self.seen.append((name, path))
        if self.at and (len(self.seen) == self.at or (self.lasting and len(self.seen) > self.at)):
            self.act(path)
        return True

    def act(self, path: Path) -> None:
        """Fail as the system does."""
        raise OSError(self.reason, os.strerror(self.reason), str(path))


class Kill(Trap):
    """End the process at once, as the out-of-memory killer does; a temporary file is half written by then."""

    def act(self, path: Path) -> None:
        if path.suffix == ".tmp" and path.is_file():
            os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Pause(Trap):
    """Create the file `paused` in `signals` and wait for a file `go` there, but not forever."""

    signals: Path = Path()

    def act(self, path: Path) -> None:
        (self.signals / "paused").touch()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not (self.signals / "go").exists():
            time.sleep(0.01)


_trap: Trap | None = None
_process = 0  # workers forked from it are not trapped
_hooked = False


@contextmanager
def trapped(trap: Trap | None) -> Iterator[None]:
    """Pass every watched call of this process to `trap`."""
    global _trap, _process, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # for good: Python has no way to remove it
        _hooked = True
    _trap, _process = trap, os.getpid()
    write, sync = os.write, os.fsync

    def trapped_write(descriptor: int, data: Any) -> int:
        try:
            _pass("write", _path_of(descriptor))
        except OSError:
            write(descriptor, bytes(data)[: len(data) // 2])
            raise
        return write(descriptor, data)

    def trapped_sync(descriptor: int) -> None:
        _pass("fsync", _path_of(descriptor))
        sync(descriptor)

    try:
        with patch.object(os, "write", trapped_write), patch.object(os, "fsync", trapped_sync):
            yield
    finally:
        _trap = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _trap is None or event not in EVENTS or isinstance(arguments[0] if arguments else "", int):
        return
    if event == "open":
        path, writes = _path_of(arguments[0]), arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        _pass("open to write" if writes else "open a folder" if path.is_dir() else "open", path)
    elif event == "os.rename":
        source, target, source_folder, target_folder = arguments
        path = _path_of(target, target_folder)
        _pass("rename", path, _path_of(source, source_folder))
    elif event in MARKS:
        _pass(MARKS[event], _path_of(arguments[0]) if arguments else _trap.folder)
    else:
        _pass(CALLS[event], _path_of(arguments[0], -1 if event == "os.truncate" else arguments[-1]))


def _pass(name: str, path: Path, source: Path | None = None) -> None:
    """Pass a call to the trap; what the trap itself does is not watched."""
    global _trap
    trap = _trap
    if trap is None or os.getpid() != _process:
        return
    _trap = None
    try:
        if trap.take(name, path) and source is not None:
            trap.renamed[path].append(_content(source))
    finally:
        _trap = trap


def _content(path: Path) -> bytes | frozenset[str]:
    if path.is_dir():
        return frozenset(below.relative_to(path).as_posix() for below in path.rglob("*"))
    return path.read_bytes()


def _path_of(target: Any, folder: int = -1) -> Path:
    """Return the absolute path of a path, perhaps relative to an open folder, or of an open file."""
    if isinstance(target, int):
        return Path(f"/proc/self/fd/{target}").readlink()
    above = Path.cwd() if folder < 0 else _path_of(folder)
    return Path(os.path.normpath(above / os.fsdecode(target)))


@contextmanager
def file_size_limit(size: int | None) -> Iterator[None]:
    """Let the system refuse to write files beyond `size` bytes (EFBIG), whoever writes; None is no limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
