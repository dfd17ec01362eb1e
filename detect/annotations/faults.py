"""Faults of annotations: all are collected, the message of the exception shows the first few."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_cache.base.errors import RecordFault, UserError

FAULTS_IN_MESSAGE = 3


class AnnotationFaults(UserError):
    """Annotations that cannot be used: `faults` has one line per fault, the message their number and the first ones."""

    def __init__(self, source: Path, faults: Sequence[str], remedy: str) -> None:
        self.faults: tuple[str, ...] = tuple(f"{source}: {fault}" for fault in faults)
        first = "; ".join(faults[:FAULTS_IN_MESSAGE]) + ("; ..." if len(faults) > FAULTS_IN_MESSAGE else "")
        super().__init__(f"{source}: {counted(len(faults), 'fault')}: {first}; {remedy}")


@contextmanager
def collecting(faults: list[str], place: str) -> Iterator[None]:
    """End the block at a RecordFault and append it to `faults`, prefixed with `place`."""
    try:
        yield
    except RecordFault as fault:
        faults.append(f"{place}: {fault}")


def counted(count: int, noun: str) -> str:
    """Return the count with its noun, in the plural unless it is one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
