"""One line of a health check, as `cli.py doctor` prints it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and whether the system works with it."""

    name: str
    detail: str
    ok: bool = True
