"""Progress of long work: a bar on a terminal, plain lines elsewhere, silence on every rank but the first."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from data_cache.base.errors import plain

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.table import Table
    from rich.text import Text


Item = TypeVar("Item")
Size = Callable[[Item], int]
SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_NOTES = 1.0
_untold = ContextVar("untold", default=False)


def is_first_rank() -> bool:
    """Whether this process is the one that talks (rank 0 of `torchrun`, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """Print one line for the user on standard error, from the first rank only; standard output is for results.

    What does not print, such as control characters in the name of a file, is written as escapes.
    """
    if is_first_rank():
        sys.stderr.write(plain(message) + "\n")
        sys.stderr.flush()


@contextmanager
def untold() -> Iterator[None]:
    """Let `track` show nothing: for a server, whose work is many short pieces."""
    before = _untold.set(True)
    try:
        yield
    finally:
        _untold.reset(before)


def track(
    items: Iterable[Item],
    description: str,
    total: int,
    size: Size[Item] = lambda _: 1,
    note: Callable[[], str] = lambda: "",
    done: int = 0,
) -> Iterator[Item]:
    """Pass `items` on while telling how much of `total` is done, the rate and the time left.

    `size` tells what an item counts for, such as the images in a batch; without it every item counts for one. `note`
    gives what else there is to tell, such as a loss; it is asked only when something is shown. `done` is how much of
    `total` was done before: it is shown, and counts for no rate.
    """
    if not is_first_rank() or _untold.get():
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, description, total, size, note, done)
    else:
        yield from _lines(items, description, total, size, note, done)


def _bar(
    items: Iterable[Item], description: str, total: int, size: Size[Item], note: Callable[[], str], done: int
) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")
        shown = 0.0
        for item in items:
            yield item
            progress.advance(task, size(item))
            if time.monotonic() - shown >= SECONDS_BETWEEN_NOTES:
                shown = time.monotonic()
                progress.update(task, note=note())


def _lines(
    items: Iterable[Item], description: str, total: int, size: Size[Item], note: Callable[[], str], done: int
) -> Iterator[Item]:
    started = last = time.monotonic()
    before = done
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            rate = (done - before) / (now - started)
            told = f"{description}: {done}/{total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left"
            say(", ".join(filter(None, (told, note()))))
    if time.monotonic() - started >= SECONDS_BETWEEN_LINES:
        say(f"{description}: {done}/{total} in {time.monotonic() - started:.0f} s")


WIDTH = 120  # characters; where there is no terminal, rich would take 80


def print_tables(*tables: "Table") -> None:
    """Print tables on standard output."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for table in tables:
        console.print(table)


@contextmanager
def without_notices() -> Iterator[None]:
    """Keep warnings, and log lines up to those, from the user for a while; exceptions pass."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
