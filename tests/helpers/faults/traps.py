"""Traps in a run of the part detector: at a call that changes the disk, or at a batch, it is ended, failed or held."""

import errno
import functools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.places.stand_in import StandIn

PATIENCE = 120.0  # seconds before a run that should have ended is called hanging
# All that changes a disk, at both levels at which the code or the standard library may call it.
WATCHED: tuple[tuple[Any, str], ...] = (
    *((Path, name) for name in ("mkdir", "write_bytes", "chmod", "replace", "unlink")),
    *((os, name) for name in ("open", "write", "fsync", "truncate", "rename", "replace", "mkdir", "unlink", "rmdir")),
    *((tempfile, "mkstemp"), (shutil, "rmtree"), (StandIn, "detect")),
)


@dataclass
class Watch:
    """Notes every watched call, or those of one `name`; before number `at` (from 1) it acts. This one only notes."""

    at: int = 0
    name: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, name: str, arguments: Sequence[Any]) -> None:
        """Take a call about to be made."""
        if self.name not in ("", name):
            return
        self.seen.append(name)
        if len(self.seen) == self.at:
            self.act(name, arguments)

    def act(self, name: str, arguments: Sequence[Any]) -> None:
        """Do what the trap is for."""


class Kill(Watch):
    """Ends the process at once, as the system's out-of-memory killer does; a write is half done by then."""

    def act(self, name: str, arguments: Sequence[Any]) -> None:
        half_written(name, arguments)
        os.kill(os.getpid(), signal.SIGKILL)


def half_written(name: str, arguments: Sequence[Any]) -> None:
    """Do the first half of a call of `Path.write_bytes`."""
    if name == "write_bytes":
        path, content = arguments
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])


@dataclass
class Fail(Watch):
    """Lets one call fail, as the system does; half of a write is done by then."""

    reason: int = errno.EIO

    def act(self, name: str, arguments: Sequence[Any]) -> None:
        half_written(name, arguments)
        raise OSError(self.reason, os.strerror(self.reason))


@dataclass
class Pause(Watch):
    """Says that it is there by a file in `folder`, and waits for a file there that bids it go on, but not for ever."""

    folder: Path = Path()

    def act(self, name: str, arguments: Sequence[Any]) -> None:
        (self.folder / "paused").touch()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not (self.folder / "go").exists():
            time.sleep(0.01)


@contextmanager
def trapped(trap: Watch | None) -> Iterator[None]:
    """Let `trap` know of every watched call of this process, and of every batch that is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WATCHED if trap else ():
            patch.setattr(owner, name, _watched(getattr(owner, name), name, trap, os.getpid()))
        yield


def _watched(call: Callable[..., Any], name: str, trap: Watch, process: int) -> Callable[..., Any]:
    @functools.wraps(call)
    def watched(*arguments: Any, **options: Any) -> Any:
        if os.getpid() == process:  # not in the workers that are forked from it
            trap(name, arguments)
        return call(*arguments, **options)

    return watched
