"""The processes of one `torchrun` that train a network together: joining, waiting, gathering with gradient.

Each process computes the loss of the whole batch from gathered values, so N processes give the same result as one.
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

TIMEOUT = timedelta(hours=6)  # the others wait while the first process scores the held-out vehicles


def rank_count() -> int:
    """Return the number of processes that train together; 1 without `torchrun`."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def joined_ranks(device: str) -> Iterator[None]:
    """Join the other processes of `torchrun`, with one GPU each if device is "cuda"; do nothing without `torchrun`.

    If another process fails, this one exits silently: the failed process has printed its error.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device == "cuda":
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise UserError(f"process {number + 1} of this machine has no GPU of its own: --nproc-per-node={gpus}")
        torch.cuda.set_device(number)
    # Gloo for CPU tensors, with which the processes also wait: it notices a lost process at once
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
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
    """Run the block in the first process, then in the others, so that an error they share is printed once."""
    if own_rank():
        wait_for_all()
    yield
    if rank_count() > 1 and not own_rank():
        wait_for_all()


def wait_for_all() -> None:
    """Wait until all processes have called this."""
    distributed.all_reduce(torch.zeros(1))


def from_first(value: float) -> float:
    """Return the first process's value in every process."""
    if rank_count() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(shared, src=0)
    return float(shared)


def shared_error(message: str) -> BaseException:
    """Return the exception for an error that occurs in every process: only the first one prints it."""
    return UserError(message) if is_first_rank() else SystemExit(1)


def gathered(values: Tensor) -> Tensor:
    """Return the values (B, ...) of all processes, concatenated, with gradient; in a single process, the values.

    The gradient is summed over the processes, each of which has computed the same loss; DistributedDataParallel then
    averages the parameters' gradients over the processes, which gives those of a single process.
    """
    return values if rank_count() == 1 else _Gather.apply(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.count = len(values)
        shares = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(rank_count())]
        distributed.all_gather(shares, values.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        distributed.all_reduce(gradient)
        start = own_rank() * context.count
        return gradient[start : start + context.count]
