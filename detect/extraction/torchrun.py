"""The processes of one `torchrun`, which share a pass of stage one: which shards are whose, and waiting."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from data_cache.base.errors import UserError

log = logging.getLogger(__name__)


Item = TypeVar("Item")
SECONDS_BETWEEN_LOOKS = 0.5
Version = tuple[int, int] | None  # of a file: inode and time of writing; None where it is not there


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """Return what is this process's part of `items`: every WORLD_SIZE-th, from RANK on; all without `torchrun`."""
    return items[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


def versions(paths: Sequence[Path]) -> dict[Path, Version]:
    """Return what lies at each path now, to be waited for by `wait_for_others`."""
    return {path: _version(path) for path in paths}


def wait_for_others(before: Mapping[Path, Version]) -> None:
    """Wait until every file of `before` is there and is another than it was: a file that other ranks put down is whole.

    Raises UserError where the process that started this one, `torchrun`, has gone: then nobody may be at work.
    """
    left, starter = set(before), os.getppid()
    if left:
        log.info(f"waiting for {len(left)} shards of other processes")
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
