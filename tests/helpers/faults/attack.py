"""A pickle that would run code."""

from pathlib import Path


class Attack:
    """What a pickle must never get to do: it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)
