"""The processes of one `torchrun`, which share a pass of stage one: which shards are whose, waiting, and ending."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from data_cache.errors import UserError, silence_loader
from data_cache.progress import is_first_rank, say

Item = TypeVar("Item")
SECONDS_BETWEEN_LOOKS = 0.5
Version = tuple[int, int] | None  # of a file: inode and time of writing; None where it is not there


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """Return what is this process's part of `items`: every WORLD_SIZE-th, from RANK on; all without `torchrun`."""
    return items[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Leave through the code's own exits when SIGTERM comes, so that locks and temporary files are removed.

    `torchrun` sends it to all processes when one of them ends. The first rank raises UserError, the others are silent.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may choose a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    silence_loader()
    if is_first_rank():
        raise UserError("stopped from outside (SIGTERM); what is finished is kept, run it again to go on")
    raise SystemExit(1)


def versions(paths: Sequence[Path]) -> dict[Path, Version]:
    """Return what lies at each path now, to be waited for by `wait_for_others`."""
    return {path: _version(path) for path in paths}


def wait_for_others(before: Mapping[Path, Version]) -> None:
    """Wait until every file of `before` is there and is another than it was: a file that other ranks put down is whole.

    Raises UserError where the process that started this one, `torchrun`, has gone: then nobody may be at work.
    """
    left, starter = set(before), os.getppid()
    if left:
        say(f"waiting for {len(left)} shards of other processes")
    while left := {path for path in left if _version(path) in (None, before[path])}:
        if os.getppid() != starter:
            raise UserError("torchrun has ended; what is finished is kept, run it again to go on")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _version(path: Path) -> Version:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
