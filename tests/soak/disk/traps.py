"""Traps at the calls by which Python opens, writes, syncs, renames and removes: what they see, and the one that fails.

They stand where all code of this process comes by, libraries' too, but for what writes by itself in C; for that there
is `no_file_longer_than`.
"""

import builtins
import contextlib
import functools
import io
import os
import pathlib
import resource
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

ON_PATHS = ("mkdir", "chmod", "unlink", "rmdir", "truncate", "fsync")
RENAMES = ("rename", "replace")
# what a closed folder refuses
REFUSED = ("mkdir", "open to write", "write", *RENAMES, "truncate", "chmod", "unlink", "rmdir")
OPEN = io.open
PATHLIB = vars(pathlib).get("_NormalAccessor")  # by which it calls in Python 3.10; later it calls os


@dataclass
class Trap:
    """Notes every call on what lies in `folder`; number `at` (from 1) fails with `reason`, and `lasting` all after it.

    `only` are the names of the calls that count, all where it is empty. `put` is all that has been renamed to a path
    below the folder: the content of a file, the names of what is in a folder.
    """

    folder: Path
    at: int = 0
    reason: int = 0
    lasting: bool = False
    only: tuple[str, ...] = ()
    seen: list[tuple[str, Path]] = field(default_factory=list)
    put: dict[Path, list[bytes | frozenset[str]]] = field(default_factory=lambda: defaultdict(list))

    def fails(self, name: str, path: Path) -> bool:
        """Take a call that is about to be made; tell whether it is to fail."""
        if not path.is_relative_to(self.folder) or (self.only and name not in self.only):
            return False
        self.seen.append((name, path))
        return bool(self.at) and (len(self.seen) == self.at or (self.lasting and len(self.seen) > self.at))

    def error(self, path: Path) -> OSError:
        """Return what the system would answer."""
        return OSError(self.reason, os.strerror(self.reason), str(path))


def path_of(target: Any, folder: int | None = None) -> Path:
    """Return the path of what a call is made on: a path, perhaps below an open folder, or something open."""
    if isinstance(target, int):
        return Path(f"/proc/self/fd/{target}").readlink()
    path = Path(os.fsdecode(target))
    return Path(os.path.abspath(path if folder is None else path_of(folder) / path))  # noqa: PTH100 - no link is followed


@contextlib.contextmanager
def trapped(trap: Trap) -> Iterator[None]:
    """Let the trap know of every call of this process."""

    def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        writes = bool(set(mode) & set("wax+"))
        if not isinstance(file, int):
            _ask(trap, "open to write" if writes else "open", path_of(file))
        if not writes or options.get("opener") or isinstance(file, int):
            return OPEN(file, mode, *rest, **options)
        return _file(trap, file, mode, *rest, **options)

    wrapped = {name: _on_path(trap, name, getattr(os, name)) for name in ON_PATHS}
    wrapped |= {name: _renaming(trap, name, getattr(os, name)) for name in RENAMES}
    with contextlib.ExitStack() as stack:
        for owner in filter(None, (io, builtins, PATHLIB)):
            stack.enter_context(patch.object(owner, "open", staticmethod(opened)))
        for owner in filter(None, (os, PATHLIB)):
            for name in wrapped.keys() & vars(owner).keys():
                stack.enter_context(patch.object(owner, name, staticmethod(wrapped[name])))
        stack.enter_context(patch.object(os, "open", _opening(trap, os.open)))
        stack.enter_context(patch.object(os, "write", _writing(trap, os.write)))
        yield


def _ask(trap: Trap, name: str, path: Path) -> None:
    if trap.fails(name, path):
        raise trap.error(path)


def _on_path(trap: Trap, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def asked(target: Any, *rest: Any, **options: Any) -> Any:
        _ask(trap, name, path_of(target, options.get("dir_fd")))
        return call(target, *rest, **options)

    return asked


def _renaming(trap: Trap, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def asked(source: Any, target: Any, **options: Any) -> Any:
        place = path_of(target)
        _ask(trap, name, place)
        content = _inside(Path(source))
        call(source, target, **options)
        trap.put[place].append(content)

    return asked


def _inside(path: Path) -> bytes | frozenset[str]:
    if path.is_dir():
        return frozenset(below.relative_to(path).as_posix() for below in path.rglob("*"))
    with OPEN(path, "rb") as file:  # past the trap
        return bytes(file.read())


def _opening(trap: Trap, call: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(call)
    def asked(target: Any, flags: int, *rest: Any, **options: Any) -> int:
        path, writes = path_of(target, options.get("dir_fd")), flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        _ask(trap, "open to write" if writes else "open a folder" if path.is_dir() else "open", path)
        return call(target, flags, *rest, **options)

    return asked


def _writing(trap: Trap, call: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(call)
    def asked(descriptor: int, data: Any) -> int:
        path = path_of(descriptor)
        if trap.fails("write", path):
            call(descriptor, bytes(data)[: len(data) // 2])
            raise trap.error(path)
        return call(descriptor, data)

    return asked


class _File(io.FileIO):
    """A file that asks the trap before every write; of one that fails, half is done."""

    trap: Trap

    def write(self, data: Any) -> int:
        path = path_of(self.fileno())
        if self.trap.fails("write", path):
            super().write(memoryview(data).cast("B")[: len(data) // 2])
            raise self.trap.error(path)
        return super().write(data)


def _file(
    trap: Trap,
    file: Any,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Any:
    """Return what `open` does for a file that is written to."""
    raw = _File(file, mode.replace("b", "").replace("t", ""))
    raw.trap = trap
    if buffering == 0:
        return raw
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffering=buffering == 1)


@contextlib.contextmanager
def no_file_longer_than(size: int | None) -> Iterator[None]:
    """Let the system itself refuse to write beyond that size, whoever writes (EFBIG); None is no limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
