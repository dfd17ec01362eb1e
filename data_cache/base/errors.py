"""UserError, the exception whose message users see, and the failures of libraries that become one."""

import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from data_cache.base.signals import silence_loaders

INSTALLED = "pgan"  # the console script of pyproject.toml
WRITTEN = re.compile(r"torchrun ([^`\n]*)cli\.py(?= )|(?:python |(?<=`))cli\.py(?= )")
# where torch raises a plain RuntimeError for a dead worker, or for the thread that pins memory
LOADER_MODULES = ("torch.utils.data.dataloader", "torch.utils.data._utils.signal_handling")
CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch has an exception type for GPU memory only: here its words must do


class UserError(Exception):
    """A problem with the user's data, files or options; the message is one line with the file and the remedy."""

    def __init__(self, message: object) -> None:
        super().__init__(with_program_name(str(message)))


class RecordFault(ValueError):
    """A problem with one record of a file."""


def program_name() -> str:
    """Return how the user starts the program: `python` and the given path of cli.py, or the installed `pgan`."""
    script = sys.argv[0] if sys.argv else ""
    return f"python {shlex.quote(script)}" if Path(script).name == "cli.py" else INSTALLED


def with_program_name(text: str) -> str:
    """Return a message or help in which commands start as the user starts them; this code writes `python cli.py ...`.

    The installed program runs on several GPUs by `torchrun --no-python ... pgan`.
    """
    name = program_name()

    def started(match: re.Match[str]) -> str:
        options = match[1]
        if options is None:
            return name
        runner = "torchrun --no-python" if name == INSTALLED else "torchrun"
        return f"{runner} {options}{name.removeprefix('python ')}"

    return WRITTEN.sub(started, text)


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
    """Initialize a loader worker: it ends if it cannot hand over a batch, and then prints no traceback.

    By default the thread that hands batches over would drop the batch, and the main process wait for it for ever: where
    /dev/shm is too small, for example.
    """
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]
    default = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError | EOFError):
            default(kind, error, trace)

    sys.excepthook = hook


def _end_worker(error: BaseException, batch: object) -> NoReturn:
    """End a loader worker after an error of the thread that hands batches over; a lost connection says nothing."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.stderr.write(f"a batch of images could not be handed over: {printable(error)}\n")
        sys.stderr.flush()
    os._exit(1)


def _origin(error: BaseException) -> str:
    """Return the name of the module that raised `error`."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


@contextmanager
def worker_death_as_user_error() -> Iterator[None]:
    """Raise UserError if a loader worker was killed or could not hand over a batch.

    torch reports it from its SIGCHLD handler, wherever the main thread is; a batch in transit fails with a lost
    connection.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and _origin(error) not in LOADER_MODULES:
            raise
        silence_loaders()
        raise UserError(
            f"a process that reads images was killed ({printable(str(error).strip())}); if memory or /dev/shm is short "
            "use fewer --workers (0 needs no /dev/shm), or start the container with a larger --shm-size; finished work "
            "is kept, run the command again to resume"
        ) from error


@contextmanager
def out_of_memory_as_user_error() -> Iterator[None]:
    """Raise UserError if the device or the machine runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        torch = sys.modules.get("torch")  # without it, the error is not torch's
        on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
        if not isinstance(error, MemoryError) and not on_gpu and CPU_ALLOCATOR not in str(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"out of memory ({lines[0][:200]}); use fewer --workers, or smaller batches or images if the command has "
            "the option (--batch-size, --set vehicles_per_batch or image_size); finished work is kept"
        ) from error
