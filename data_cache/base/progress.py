"""What a command prints: messages and progress on standard error, tables on standard output.

Messages are log records of this project's packages; a library's user sees or silences them by `logging`.
"""

import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from data_cache.base.errors import UserError, printable, with_program_name

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Advance = Callable[[int, Callable[[], str]], None]  # number of items done, note to show
PACKAGES = ("data_cache", "detect", "reid", "vehicle_reid")
SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_NOTES = 1.0
TABLE_WIDTH = 120  # characters in a file or pipe, where rich would assume 80
_hidden = ContextVar("hidden", default=False)


def is_first_rank() -> bool:
    """Return whether this process prints: rank 0 of `torchrun`, or the only process."""
    return os.environ.get("RANK", "0") == "0"


class StandardErrorHandler(logging.Handler):
    """Writes messages as plain lines on standard error, from the first rank only; unprintable characters escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the work goes on if it cannot be written, as to a file on a full disk."""
        if is_first_rank():
            with suppress(OSError):  # nobody can be told
                sys.stderr.write(printable(with_program_name(record.getMessage())) + "\n")
                sys.stderr.flush()


_handler = StandardErrorHandler()


def show_messages() -> None:
    """Show this project's messages on standard error, as the commands do.

    What a terminal that is not UTF-8 cannot show is escaped, in messages and in results.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_handler)  # again is no second time


class LogFile(logging.Handler):
    """Appends messages with the time to a file, once its folder exists; lines of progress are left out."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.waiting: list[str] = []
        self.addFilter(lambda record: record.name != __name__)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Raises UserError if the file cannot be written."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self.waiting.append(f"{now}  {printable(record.getMessage())}\n")
        try:
            if self.path.parent.is_dir():
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(self.waiting)
                self.waiting.clear()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def messages_into(path: Path) -> Iterator[None]:
    """Append this project's messages to a log file, with the time, and the error that ends the work."""
    if not is_first_rank():
        yield
        return
    handler = LogFile(path)
    loggers = [logging.getLogger(name) for name in PACKAGES]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    except UserError as error:
        handler.emit(log.makeRecord(PACKAGES[0], logging.ERROR, "", 0, f"Error: {error}", (), None))
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def hide_library_warnings() -> None:
    """Hide Python warnings in the commands, unless the user asks for them by `python -W` or PYTHONWARNINGS.

    They are written for programmers; what a user can act on are this project's messages and errors.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def without_library_messages() -> Iterator[None]:
    """Hide warnings and log records up to WARNING; exceptions pass."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def hidden_progress() -> Iterator[None]:
    """Make `track` silent: for a server, whose work is many short pieces."""
    before = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(before)


def track(
    items: Iterable[Item],
    description: str,
    total: int,
    size: Callable[[Item], int] = lambda _: 1,
    note: Callable[[], str] = lambda: "",
    done: int = 0,
) -> Iterator[Item]:
    """Yield `items` and show how much of `total` is done, the rate and the time left.

    `size` is what an item counts for, such as the images of a batch. `note` is called when a line is shown and gives
    further text, such as a loss. `done` was finished before; it is shown, but does not count for the rate.
    """
    if _hidden.get() or not is_first_rank():
        yield from items
        return
    display = _bar if sys.stderr.isatty() else _lines
    with display(description, total, done) as advance:
        for item in items:
            yield item
            advance(size(item), note)


@contextmanager
def _bar(description: str, total: int, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, completed=done, rate="", note="")
        shown = 0.0

        def advance(count: int, note: Callable[[], str]) -> None:
            nonlocal shown
            progress.advance(task, count)
            if time.monotonic() - shown >= SECONDS_BETWEEN_NOTES:
                shown = time.monotonic()
                speed = progress.tasks[0].speed
                progress.update(task, note=note(), rate=f"{speed:.1f}/s" if speed else "")

        yield advance


@contextmanager
def _lines(description: str, total: int, done: int) -> Iterator[Advance]:
    started = last = time.monotonic()
    finished = done

    def advance(count: int, note: Callable[[], str]) -> None:
        nonlocal last, finished
        finished += count
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and finished < total:
            last = now
            rate = (finished - done) / (now - started)
            line = f"{description}: {finished}/{total}, {rate:.1f}/s, {(total - finished) / rate:.0f} s left"
            log.info(", ".join(filter(None, (line, note()))))

    yield advance
    if time.monotonic() - started >= SECONDS_BETWEEN_LINES:
        log.info(f"{description}: {finished}/{total} in {time.monotonic() - started:.0f} s")


def print_tables(*tables: "Table") -> None:
    """Print tables on standard output, as wide as the terminal."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    for table in tables:
        console.print(table)
