"""Errors as one line for the user, and loader workers that print nothing when the main process has gone."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError, initialize_worker, out_of_memory_as_user_error


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), BrokenPipeError(), EOFError(), ValueError(), OSError(28, "")]
)
def test_a_worker_prints_every_error_but_a_lost_connection(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: printed.append(error))
    initialize_worker(0)
    sys.excepthook(type(error), error, None)
    assert printed == ([] if isinstance(error, ConnectionError | EOFError) else [error])


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
