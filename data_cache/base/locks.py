"""A lock against two runs on one folder, held by the system: it ends with its process, however that ends."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.progress import say

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without locks answer
_held: set[int] = set()  # descriptors of this process


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold `folder/.lock` while a run writes there; a second run is refused with UserError.

    The file names host and process for the refused run's message; the lock itself is the system's (flock), so that a
    killed run leaves nothing to judge or to delete.
    """
    lock = folder / ".lock"
    try:
        descriptor = _acquire(lock)
    except OSError as error:
        raise UserError(f"{lock}: cannot be written ({error.strerror or error})") from error
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        try:
            lock.unlink(missing_ok=True)
        except OSError as error:  # the file alone locks nobody out
            say(f"{lock}: cannot be removed ({error.strerror or error})")
        finally:
            os.close(descriptor)


def remove_lock_of_the_dead(folder: Path) -> None:
    """Remove a lock's file that no run holds, where one is left: it locks nobody out, and is of no use."""
    if (folder / ".lock").exists():
        with suppress(UserError), run_lock(folder):
            pass


def _acquire(lock: Path) -> int:
    """Return the descriptor of the locked file; a file that its run removed meanwhile is made anew."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:  # a run that ended meanwhile removed the folder
            continue
        try:
            _flock(descriptor, lock)
            if _is_file(descriptor, lock):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{socket.gethostname()} {os.getpid()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _flock(descriptor: int, lock: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 300).decode(errors="replace") or "it has just begun"
        raise UserError(f"{lock.parent}: another run ({owner}) is writing here; wait for it, or end it") from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        say(f"{lock}: this file system knows no locks; start no second run on {lock.parent}")


def _let_go_in_child() -> None:
    """Close inherited descriptors, so that a forked worker which outlives its run does not hold the run's lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
