"""A lock that keeps two runs from writing to one folder; the system frees it when its process ends."""

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data_cache.base.errors import UserError

log = logging.getLogger(__name__)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # errors of file systems without locks


class Locked(UserError):
    """Another run is writing to the folder."""


@contextmanager
def run_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `folder/.lock` while a run writes there; create the folder if needed.

    The file holds host and process id, for the message of a refused run. Raises Locked if another run holds the lock,
    unless `wait`, and UserError if the file cannot be written.
    """
    path = folder / ".lock"
    lock = FileLock(path, timeout=0)
    try:
        try:
            _acquire(folder, lock)
        except Timeout:
            if not wait:
                raise
            log.info(f"{folder}: waiting for another run ({_owner(path)}), which is writing here")
            _acquire(folder, lock, seconds=-1)
        path.write_text(f"{socket.gethostname()} {os.getpid()}")
    except Timeout as error:
        raise Locked(f"{folder}: another run ({_owner(path)}) is writing here; wait for it or stop it") from error
    except OSError as error:
        lock.release()
        if error.errno not in NO_LOCKS:
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
        log.warning(f"{path}: this file system has no locks; start no second run in {folder}")
    try:
        yield
    finally:
        try:
            path.unlink(missing_ok=True)  # before the release: afterwards it may be another run's
        except OSError as error:
            log.warning(f"{path}: cannot be removed ({error.strerror or error})")
        finally:
            lock.release()  # also if the warning cannot be written: it may go to a file


def _acquire(folder: Path, lock: FileLock, seconds: float = 0) -> None:
    """Acquire the lock within `seconds`, -1 for ever. Raises Timeout."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a run that ended at this moment removed the folder
            lock.acquire(timeout=seconds)
            return


def _owner(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")[:300] or "just started"
    return "just ended"
