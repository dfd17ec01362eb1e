"""Progress of long work: a bar on a terminal, plain lines elsewhere, silence on every rank but the first."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 15.0


def is_first_rank() -> bool:
    """Whether this process is the one that talks (rank 0 of `torchrun`, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """Print one line for the user on standard error, from the first rank only; standard output is for results."""
    if is_first_rank():
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Pass `items` on while telling how many of `total` are done, the rate and the time left."""
    if not is_first_rank():
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, description, total)
    else:
        yield from _lines(items, description, total)


def _bar(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
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
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=description)


def _lines(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            rate = done / (now - started)
            say(f"{description}: {done}/{total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left")
    if time.monotonic() - started >= SECONDS_BETWEEN_LINES:
        say(f"{description}: {done}/{total} in {time.monotonic() - started:.0f} s")
