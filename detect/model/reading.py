"""Images for the detector, read and resized by worker processes; a bad image is an answer, not an exception."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_cache.base.errors import initialize_worker
from data_cache.images.loading import ImageError, load_image, path_inside
from detect.model.detector import resize

BATCHES_AHEAD = 4  # of every worker


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image as the network wants it, (S, S, 3) uint8, with its stored size; zeros and a reason where it is bad."""

    name: str
    pixels: Tensor
    width: int
    height: int
    failure: str


@dataclass(frozen=True, eq=False)
class ReadBatch:
    """B images: pixels (B, S, S, 3) uint8, sizes (B, 2) int32 (W, H), and a reason where one could not be read."""

    names: tuple[str, ...]
    pixels: Tensor
    sizes: NDArray[np.int32]
    failures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def without_pixels(self) -> "ReadBatch":
        """Return the batch without its pixels, which are most of it."""
        return replace(self, pixels=torch.empty(0, dtype=torch.uint8))

    def pin_memory(self) -> "ReadBatch":
        """Copy the pixels to page-locked memory; called by the loader when the device is a GPU."""
        return replace(self, pixels=self.pixels.pin_memory())


class ImageFiles(Dataset[ReadImage]):
    """The images of that name below `root`, resized to a square of `size`."""

    def __init__(self, names: Sequence[str], root: Path, size: int) -> None:
        self.names, self.root, self.size = list(names), root, size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> ReadImage:
        name = self.names[index]
        return read_image(name, self.size, lambda: load_image(path_inside(self.root, name)))


def read_image(name: str, size: int, load: Callable[[], NDArray[np.uint8]]) -> ReadImage:
    """Return what `load` gives, (H, W, 3), resized to a square of `size`; where it raises ImageError, the reason."""
    try:
        image = load()
    except ImageError as error:
        return ReadImage(name, torch.zeros(size, size, 3, dtype=torch.uint8), 0, 0, str(error))
    return ReadImage(name, resize(image, size), image.shape[1], image.shape[0], "")


def read_batches(
    batches: Sequence[Sequence[str]], root: Path, size: int, workers: int, *, pinned: bool = False
) -> "DataLoader[ReadImage]":
    """Return a loader of one ReadBatch for each of `batches` (names), in their order; `pinned` for a GPU."""
    names = [name for batch in batches for name in batch]
    starts = np.cumsum([0] + [len(batch) for batch in batches])
    plan = [list(range(start, stop)) for start, stop in pairwise(starts)]
    return DataLoader(
        ImageFiles(names, root, size),
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=initialize_worker,
        prefetch_factor=BATCHES_AHEAD if workers else None,
        pin_memory=pinned,
    )


def collate(images: Sequence[ReadImage]) -> ReadBatch:
    """Stack images to a batch."""
    return ReadBatch(
        names=tuple(image.name for image in images),
        pixels=torch.stack([image.pixels for image in images]),
        sizes=np.array([(image.width, image.height) for image in images], dtype=np.int32),
        failures=tuple(image.failure for image in images),
    )
