"""UserError, the exception whose message users see, and the failures of libraries that become one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from data_cache.base.signals import silence_loaders


class UserError(Exception):
    """A problem with the user's data, files or options; the message is one line with the file and the remedy."""


class RecordFault(ValueError):
    """A problem with one record of a file."""


def printable(text: object) -> str:
    """Return `text` on one line: line breaks and other characters that do not print become escapes.

    >>> printable("a\\x1b[31m\\n.jpg")
    'a\\\\x1b[31m\\\\n.jpg'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def short_repr(value: object) -> str:
    """Return a value read from a file as at most 80 printable characters, for a message."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # lists nested as deep as JSON allows; a number with 5,000 digits
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def last_line(error: UserError) -> UserError:
    """Return a loader worker's error without the traceback that torch puts in front of its message."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    return UserError(str(error).rstrip().splitlines()[-1].removeprefix(kind))


def initialize_worker(number: int) -> None:
    """Initialize a loader worker: its feeder thread prints no traceback if the main process has gone."""
    default = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError | EOFError):
            default(kind, error, trace)

    sys.excepthook = hook


@contextmanager
def worker_death_as_user_error() -> Iterator[None]:
    """Raise UserError if a loader worker was killed.

    torch reports it from its SIGCHLD handler, wherever the main thread is; a batch in transit fails with a lost
    connection.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        silence_loaders()
        raise UserError(
            f"a process that reads images was killed ({str(error).strip()}); if memory is short use fewer --workers; "
            "finished work is kept, run the command again to resume"
        ) from error


@contextmanager
def out_of_memory_as_user_error() -> Iterator[None]:
    """Raise UserError if the device or the machine runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has an exception type for GPU memory only; torch itself may not have been imported
        from_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        if not isinstance(error, MemoryError) and not from_torch:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"out of memory ({lines[0][:200]}); use fewer --workers, or smaller batches or images if the command has "
            "the option (--batch-size, --set vehicles_per_batch or image_size); finished work is kept"
        ) from error
