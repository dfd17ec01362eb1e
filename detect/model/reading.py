"""Images for the detector, loaded and resized by worker processes; an unreadable image becomes a recorded failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from data_cache.base.errors import initialize_worker
from data_cache.base.remote.addresses import Address, Location
from data_cache.images.batches import collate_within_shared_memory, start_method
from data_cache.images.loading import ImageError, fetched, load_image, path_inside

PREFETCHED_BATCHES = 4  # per worker


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image resized to (S, S, 3) uint8 and its original size; zeros and a reason if it cannot be read."""

    name: str
    pixels: Tensor
    width: int
    height: int
    failure: str


@dataclass(frozen=True, eq=False)
class ReadBatch:
    """B images: pixels (B, S, S, 3) uint8, original sizes (B, 2) int32 (W, H), reasons of failure ("" if read)."""

    names: tuple[str, ...]
    pixels: Tensor
    sizes: NDArray[np.int32]
    failures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def without_pixels(self) -> "ReadBatch":
        """Return the batch without its pixels, which take most of its memory."""
        return replace(self, pixels=torch.empty(0, dtype=torch.uint8))

    def pin_memory(self) -> "ReadBatch":
        """Copy the pixels to page-locked memory; the DataLoader calls this if `pinned`."""
        return replace(self, pixels=self.pixels.pin_memory())


def read_batches(
    batches: Sequence[Sequence[str]], root: Location, size: int, workers: int, *, pinned: bool = False
) -> "DataLoader[ReadImage]":
    """Return a loader of one ReadBatch for each of `batches` (names below `root`), in order; `pinned` for a GPU.

    Raises UserError if `workers` cannot read the address.
    """
    names = [name for batch in batches for name in batch]
    batch_bytes = max(map(len, batches), default=0) * 3 * size * size
    starts = np.cumsum([0] + [len(batch) for batch in batches])
    return DataLoader(
        ImageFiles(names, root, size),
        batch_sampler=[list(range(start, stop)) for start, stop in pairwise(starts)],
        num_workers=workers,
        collate_fn=collate_within_shared_memory(collate, batch_bytes, workers=workers, prefetched=PREFETCHED_BATCHES),
        worker_init_fn=initialize_worker,
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        pin_memory=pinned,
        multiprocessing_context=start_method(root, workers),
    )


class ImageFiles(Dataset[ReadImage]):
    """The images `names` below `root`, resized to a square of `size` pixels."""

    def __init__(self, names: Sequence[str], root: Location, size: int) -> None:
        self.names, self.root, self.size = names, root, size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> ReadImage:
        name = self.names[index]
        return read_image(name, self.size, lambda: load_image(path_inside(self.root, name)))

    def __getitems__(self, indexes: Sequence[int]) -> list[ReadImage]:
        """Return the images of a batch, which torch asks for; files at an address are read together."""
        if not isinstance(self.root, Address):
            return [self[index] for index in indexes]
        names = [self.names[index] for index in indexes]
        files = fetched([path_inside(self.root, name) for name in names])
        return [read_image(name, self.size, partial(load_image, file)) for name, file in zip(names, files, strict=True)]


def read_image(name: str, size: int, load: Callable[[], NDArray[np.uint8]]) -> ReadImage:
    """Return the image (H, W, 3) from `load`, resized to a square of `size`, or the reason if `load` fails."""
    try:
        image = load()
    except ImageError as error:
        return ReadImage(name, torch.zeros(size, size, 3, dtype=torch.uint8), 0, 0, str(error))
    return ReadImage(name, resize(image, size), image.shape[1], image.shape[0], "")


def resize(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return `image` (H, W, 3) as (size, size, 3) uint8; as in SSD, the aspect ratio is not kept.

    This is Pillow's bilinear filter, as in training, at three times its speed: one pixel in a thousand differs by 1.
    """
    planes = torch.tensor(image)[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0)


def collate(images: Sequence[ReadImage]) -> ReadBatch:
    """Stack images into a batch."""
    return ReadBatch(
        names=tuple(image.name for image in images),
        pixels=torch.stack([image.pixels for image in images]),
        sizes=np.array([(image.width, image.height) for image in images], dtype=np.int32),
        failures=tuple(image.failure for image in images),
    )
