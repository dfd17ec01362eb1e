"""What a loader's process tells: all but that the process which takes its batches has gone; texts fit for a message."""

import doctest
import sys

import pytest

from data_cache import errors
from data_cache.errors import start_worker


def told_of(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What reaches the hook that was there before, of an error in a thread of a loader's process."""
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(error))
    start_worker(0)
    sys.excepthook(type(error), error, None)
    return told


@pytest.mark.parametrize("kind", [ConnectionResetError, BrokenPipeError, EOFError])
def test_a_lost_reader_is_not_told(kind: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(kind("gone"), monkeypatch) == []


@pytest.mark.parametrize("error", [ValueError("a fault"), OSError(28, "disk full"), KeyboardInterrupt()])
def test_everything_else_is_told(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(error, monkeypatch) == [error]


def test_doctests() -> None:
    assert doctest.testmod(errors) == (0, 1)
