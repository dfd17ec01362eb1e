"""The processes of one `torchrun`, which train one network together: they join, wait, and gather with gradient.

What each process computes from gathered values is the loss of the whole batch, so that N processes and one agree.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from data_cache.base.errors import UserError
from data_cache.base.progress import is_first_rank

PATIENCE = timedelta(hours=6)  # the others wait while the first process scores the held-out vehicles


def rank_count() -> int:
    """Return how many processes train together; 1 without `torchrun`."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_rank() -> int:
    """Return this process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def joined_ranks(device: str) -> Iterator[None]:
    """Join the other processes of `torchrun`, each on a GPU of its own where device is "cuda"; alone, do nothing.

    Where one of them ends, the others end too: its own line tells why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device == "cuda":
        number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= there:
            raise UserError(f"process {number + 1} of this machine has no GPU of its own: --nproc-per-node={there}")
        torch.cuda.set_device(number)
    # Gloo for what lies on the CPU, waiting included: it notices at once where another process has gone
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise SystemExit(1) from error
        raise
    finally:
        distributed.destroy_process_group()


@contextmanager
def first_rank_first() -> Iterator[None]:
    """Let the first process through, then the others: a fault that all of them would find is told once."""
    if own_rank():
        wait_for_all()
    yield
    if rank_count() > 1 and not own_rank():
        wait_for_all()


def wait_for_all() -> None:
    """Wait until every process is here."""
    distributed.all_reduce(torch.zeros(1))


def from_first(value: float) -> float:
    """Return the first process's value, in every process."""
    if rank_count() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(shared, src=0)
    return float(shared)


def error_of_all(message: str) -> BaseException:
    """Return the error of a fault that every process has found: the first tells it, the others end silently."""
    return UserError(message) if is_first_rank() else SystemExit(1)


def gathered(values: Tensor) -> Tensor:
    """Return the values of all processes, (B, ...) of each, one after the other, with gradient; alone, the values.

    The gradient that comes back is the sum over the processes, of which each has computed the same loss. Averaged
    over them, as DistributedDataParallel does, the gradients of the parameters are those of one process.
    """
    return values if rank_count() == 1 else _Gather.apply(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.count = len(values)
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(rank_count())]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        distributed.all_reduce(gradient)
        start = own_rank() * context.count
        return gradient[start : start + context.count]
