"""The one exception that a user is meant to see, and what of a loader's processes becomes it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class UserError(Exception):
    """A fault in the user's data, files or options; the message is one line with the file and the remedy."""


def plain(text: object) -> str:
    """Return a text as it may stand in a message: line breaks and whatever else does not print are escapes.

    >>> plain("a\\x1b[31m\\n.jpg")
    'a\\\\x1b[31m\\\\n.jpg'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def shown(value: object) -> str:
    """Return a value of a file as short plain text, for a message."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # lists in lists, as deep as JSON may go; a number of 5,000 digits
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def from_worker(error: UserError) -> UserError:
    """Return the error in its own line: a loader gives its worker's whole traceback as text, which ends with it."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    return UserError(str(error).rstrip().splitlines()[-1].removeprefix(kind))


def start_worker(number: int) -> None:
    """Begin a loader's process: that the one which takes its batches has gone is not for it to tell, as a traceback.

    The thread that hands batches over would: it gives a lost connection to `sys.excepthook`.
    """
    tell = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError | EOFError):
            tell(kind, error, trace)

    sys.excepthook = hook


def silence_loader() -> None:
    """Let torch's loaders say nothing more, as we end.

    Their handler of SIGCHLD would raise for every worker that ends with us, wherever we stand; and one that was stopped
    while it started its workers fails in `__del__`, which Python would tell as a traceback.
    """
    if threading.current_thread() is threading.main_thread():  # the only one with handlers
        signal.signal(signal.SIGCHLD, lambda *_: None)
    tell = sys.unraisablehook

    def hook(told: Any) -> None:
        if "DataLoaderIter" not in getattr(told.object, "__qualname__", ""):
            tell(told)

    sys.unraisablehook = hook


@contextmanager
def telling_of_dead_workers() -> Iterator[None]:
    """Raise UserError where a process of a loader has been killed.

    torch's handler of SIGCHLD tells it wherever the code stands, clearing up included; a batch that was under way
    breaks off as a lost connection. That is silenced, so that what follows ends in order.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        silence_loader()
        raise UserError(
            f"a process that reads images has ended ({str(error).strip()}); where memory is short use fewer --workers; "
            "what is finished is kept, run it again to go on"
        ) from error


@contextmanager
def telling_of_little_memory() -> Iterator[None]:
    """Raise UserError where memory, the device's or the machine's, does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has a class of its own for a GPU's memory, none for the machine's; it may not have been imported
        of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        if not isinstance(error, MemoryError) and not of_torch:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"out of memory ({lines[0][:200]}); use fewer --workers, or smaller batches or pictures where the command "
            "has them (--batch-size, --set vehicles_per_batch or image_size); what is finished is kept"
        ) from error


class RecordFault(ValueError):
    """What is wrong with one record of a file."""
