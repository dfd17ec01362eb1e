"""Batches on their way from loader workers to the main process: by /dev/shm, or by pipes where it is small.

torch puts every tensor of a batch into a file of /dev/shm, of which Docker gives a container 64 MB; that costs the main
process a fifth of the time that a pipe takes.
"""

import io
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import get_worker_info

from data_cache.base.errors import UserError, last_line
from data_cache.base.remote.addresses import Address, Location, require_other_processes

Item = TypeVar("Item")
Batch = TypeVar("Batch")
SHARED_MEMORY = Path("/dev/shm")
PREFETCHED = 2  # batches per worker, the default of DataLoader
BATCHES_IN_USE = 2  # by the main process: one that it computes with, and the next
SHARE = 0.5  # of the free space, because other loaders and programs use it too


@dataclass(frozen=True)
class PipedCollate(Generic[Item, Batch]):
    """A collate function whose batches travel from a worker through its pipe, without /dev/shm."""

    collate: Callable[[list[Item]], Batch]

    def __call__(self, items: list[Item]) -> "Batch | Piped":
        """Return the batch; in a worker an object that becomes the same batch in the main process."""
        batch = self.collate(items)
        return batch if get_worker_info() is None else Piped(batch)


@dataclass(frozen=True, eq=False)
class Piped:
    """A batch in a worker, whose pickle holds its tensors instead of naming files in /dev/shm."""

    batch: Any

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        """Return how the main process makes the batch."""
        buffer = io.BytesIO()
        _TensorPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(self.batch)
        return pickle.loads, (buffer.getvalue(),)


class _TensorPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def loaded_batches(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of a loader; a UserError of a worker is raised without the worker's traceback."""
    try:
        yield from loader
    except UserError as error:
        # the traceback refers to the loader; without it the worker processes end now
        raise last_line(error) from error.with_traceback(None)


def start_method(place: Location | None, workers: int) -> str | None:
    """Return how a loader starts its workers: as torch does, but for an address without a fork.

    The connections of a store, and the thread that serves them, do not survive one. Raises UserError if workers cannot
    read the address.
    """
    if workers == 0 or not isinstance(place, Address):
        return None
    require_other_processes(place, "use --workers 0")
    return "spawn"


def collate_within_shared_memory(
    collate: Callable[[list[Item]], Batch], batch_bytes: int, *, workers: int, prefetched: int = PREFETCHED
) -> Callable[[list[Item]], "Batch | Piped"]:
    """Return `collate`, or the same through pipes if /dev/shm lacks room for the batches that a loader holds."""
    held = batch_bytes * (workers * prefetched + BATCHES_IN_USE)
    return collate if workers == 0 or held <= _room() else PipedCollate(collate)


def _room() -> float:
    """Return the bytes of /dev/shm that one loader of this process may use."""
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:  # another system
        return float("inf")
    return SHARE * free / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
