"""What a loader's process tells: all but that the process which takes its batches has gone; texts fit for a message."""

import doctest
import gc
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data_cache.base import errors
from data_cache.base.errors import UserError, initialize_worker, out_of_memory_as_user_error, silence_loaders


def told_of(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What reaches the hook that was there before, of an error in a thread of a loader's process."""
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(error))
    initialize_worker(0)
    sys.excepthook(type(error), error, None)
    return told


@pytest.mark.parametrize("kind", [ConnectionResetError, BrokenPipeError, EOFError])
def test_a_lost_reader_is_not_told(kind: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(kind("gone"), monkeypatch) == []


@pytest.mark.parametrize("error", [ValueError("a fault"), OSError(28, "disk full"), KeyboardInterrupt()])
def test_everything_else_is_told(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(error, monkeypatch) == [error]






def test_what_else_python_swallows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    before = signal.getsignal(signal.SIGCHLD)
    silence_loaders()
    signal.signal(signal.SIGCHLD, before)
    other = SimpleNamespace(object=test_doctests)
    sys.unraisablehook(other)
    assert told == [other]


def test_doctests() -> None:
    assert doctest.testmod(errors) == (0, 1)


def allocate_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore")


@pytest.mark.parametrize(
    "allocate", [lambda: torch.empty(2**58), lambda: np.empty(2**58), allocate_on_a_gpu], ids=["torch", "numpy", "gpu"]
)
def test_too_little_memory_is_one_line(allocate: Callable[[], object]) -> None:
    with (
        pytest.raises(UserError, match=r"^out of memory \(.*; use fewer --workers, or smaller batches") as raised,
        out_of_memory_as_user_error(),
    ):
        allocate()
    assert "\n" not in str(raised.value)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="a shape"), out_of_memory_as_user_error():
        raise RuntimeError("a shape does not fit")
