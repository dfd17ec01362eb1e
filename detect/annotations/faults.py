"""Faults of annotations: all of them are collected, the message of the exception shows the first few."""

import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_cache.base.errors import RecordFault, UserError

SHOWN_FIRST = 3
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class AnnotationFaults(UserError):
    """Annotations that cannot be used: `faults` holds a line for each fault, the message counts them."""

    def __init__(self, source: Path, faults: Sequence[str], remedy: str) -> None:
        self.faults: tuple[str, ...] = tuple(f"{source}: {fault}" for fault in faults)
        first = "; ".join(faults[:SHOWN_FIRST]) + ("; ..." if len(faults) > SHOWN_FIRST else "")
        super().__init__(f"{source}: {counted(len(faults), 'fault')}: {first}; {remedy}")


@contextmanager
def noting(faults: list[str], where: str) -> Iterator[None]:
    """Make a RecordFault of the block one line of `faults`, which begins with `where`; the block ends there."""
    try:
        yield
    except RecordFault as fault:
        faults.append(f"{where}: {fault}")


def counted(count: int, noun: str) -> str:
    """Return the count with its noun, in the plural where it is not one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shown(value: object) -> str:
    """Return a value from a user's file as Python writes it, on one line and cut short."""
    return _short.repr(value)
