"""Errors as one line for the user, and loader workers that print nothing when the main process has gone."""

import os
import signal
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from data_cache.base.errors import (
    UserError,
    initialize_worker,
    out_of_memory_as_user_error,
    worker_death_as_user_error,
)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), BrokenPipeError(), EOFError(), ValueError(), OSError(28, "")]
)
def test_a_worker_prints_every_error_but_a_lost_connection(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: printed.append(error))
    initialize_worker(0)
    sys.excepthook(type(error), error, None)
    assert printed == ([] if isinstance(error, ConnectionError | EOFError) else [error])


class Unsendable:
    """An item whose way to the main process fails, as a tensor's does where /dev/shm is full."""

    def __reduce__(self) -> str:
        raise OSError(28, "No space left on device")


class UnsendableItems(Dataset[Unsendable]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Unsendable:
        return Unsendable()


def test_a_batch_that_cannot_be_handed_over_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    loader = DataLoader(UnsendableItems(), batch_size=None, num_workers=1, worker_init_fn=initialize_worker, timeout=60)
    with pytest.raises(UserError, match=r"use fewer --workers .*--shm-size") as raised, worker_death_as_user_error():
        list(loader)
    assert "\n" not in str(raised.value)
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert lines[0] == "a batch of images could not be handed over: [Errno 28] No space left on device"


class FailingItems(UnsendableItems):
    """Items that fail in the worker with the words that torch uses for a dead worker."""

    def __getitem__(self, index: int) -> Unsendable:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")


class KilledItems(UnsendableItems):
    """Items whose worker is killed, as by the kernel where memory is short."""

    def __getitem__(self, index: int) -> Unsendable:
        os.kill(os.getpid(), signal.SIGKILL)
        return Unsendable()


def test_a_killed_worker_is_known_by_where_torch_raises_not_by_words() -> None:
    for items, kind in ((KilledItems(), UserError), (FailingItems(), RuntimeError)):
        loader = DataLoader(items, batch_size=None, num_workers=1, worker_init_fn=initialize_worker, timeout=60)
        with pytest.raises(kind, match="killed"), worker_death_as_user_error():
            list(loader)


def allocate_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore")


@pytest.mark.parametrize(
    "allocate", [lambda: torch.empty(2**58), lambda: np.empty(2**58), allocate_on_a_gpu], ids=["torch", "numpy", "gpu"]
)
def test_out_of_memory_is_one_line(allocate: Callable[[], object]) -> None:
    with (
        pytest.raises(UserError, match=r"^out of memory \(.*; use fewer --workers, or smaller batches") as raised,
        out_of_memory_as_user_error(),
    ):
        allocate()
    assert "\n" not in str(raised.value)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="a shape"), out_of_memory_as_user_error():
        raise RuntimeError("a shape does not fit")
