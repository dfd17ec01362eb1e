"""Sharing a detection run among the processes of `torchrun`: the shards of each process, and waiting for the others."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from data_cache.base.errors import UserError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
Item = TypeVar("Item")
FileVersion = tuple[int, int] | None  # inode and modification time; None if missing


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """Return every WORLD_SIZE-th item, starting at RANK; all items without `torchrun`."""
    return items[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


def file_version(path: Path) -> FileVersion:
    """Return the version of a file, for `wait_for_others`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def wait_for_others(before: Mapping[Path, FileVersion]) -> None:
    """Wait until every file exists and differs from its version `before`; files are written atomically.

    Raises UserError if the parent process, `torchrun`, has ended, because then nobody may be writing them.
    """
    waiting, parent = set(before), os.getppid()
    if waiting:
        log.info(f"waiting for {len(waiting)} shards of other processes")
    while waiting := {path for path in waiting if file_version(path) in (None, before[path])}:
        if os.getppid() != parent:
            raise UserError("torchrun has ended; finished work is kept, run it again to resume")
        time.sleep(POLL_SECONDS)
