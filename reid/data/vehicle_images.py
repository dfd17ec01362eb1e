"""Images with their part boxes, as tensors for the network; augmentation moves both together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from data_cache.base.errors import UserError, last_line
from data_cache.base.pretrained import MEAN, STD
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import ImageError, image_size, load_image
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from reid.data.augmentation import Augmentation, Boxes, Pixels, augment
from reid.data.decoded import DecodedImages
from reid.data.sampler import Sample

Item = TypeVar("Item")
RESAMPLING = Image.Resampling.BILINEAR
MEANS, DEVIATIONS = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)


@dataclass(frozen=True)
class Batch:
    """images (B, 3, S, S) uint8, boxes (B, D, 4) in [0, 1], present (B, D), index (B,) into the list of images."""

    images: Tensor
    boxes: Tensor
    present: Tensor
    index: Tensor

    def pin_memory(self) -> "Batch":
        """Copy to page-locked memory; called by the loader when the device is a GPU."""
        return Batch(*(tensor.pin_memory() for tensor in (self.images, self.boxes, self.present, self.index)))


def part_arrays(parts: PartBoxes, names: Sequence[str], depth: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return the `depth` most confident boxes of each name: (N, depth, 4) in [0, 1] of the image, and (N, depth) bool.

    Raises UserError for a name that is not in the cache or that failed, or where it holds fewer than `depth` an image.
    """
    places = parts.labels.shape[1]
    if 0 < places < depth:
        raise UserError(f"{depth} parts are asked for, the part cache holds {places} an image; lower parts")
    rows = parts.rows(names)
    failed = rows[parts.status[rows] == STATUS_FAILED]
    if len(failed):
        raise UserError(
            f"{len(failed)} images could not be read, first {parts.names[failed[0]]} ({parts.failure[failed[0]]}); "
            f"mend or unlist them, then {parts.remedy}"
        )
    size = parts.image_size[rows].astype(np.float32)
    boxes = parts.boxes[rows, :depth] / np.concatenate([size, size], axis=1)[:, None, :]
    return boxes.astype(np.float32), parts.labels[rows, :depth] >= 0


@dataclass(frozen=True, eq=False)
class ResizedFiles:
    """Images read from their files, resized to a square; called with a number it gives that image.

    `stored` (N, 2) are the width and height that each must have; 0 stands for any.
    """

    paths: Sequence[Path]
    size: int
    stored: NDArray[np.int32] | None = None

    def __call__(self, index: int) -> Pixels:
        """Return the image, (size, size, 3) uint8. Raises ImageError for a bad file, and for one of another size."""
        image = load_image(self.paths[index])
        if self.stored is not None:
            require_size(self.paths[index], image.shape[1::-1], self.stored[index])
        return resized(image, self.size)


def require_size(path: Path, found: Sequence[int], stored: NDArray[np.int32]) -> None:
    """Raise ImageError where an image has another (width, height) than when its parts were detected; 0 is any."""
    if stored.any() and tuple(found) != tuple(stored.tolist()):
        was, now = (" x ".join(map(str, size)) for size in (stored.tolist(), found))
        raise ImageError(
            f"{path}: {now} pixels, {was} when its parts were detected: another image lies there; "
            "delete the part cache and run `python cli.py detect` again"
        )


def resized(pixels: Pixels, size: int) -> Pixels:
    """Return an image (H, W, 3) as the network sees it, (size, size, 3): the aspect is not kept."""
    return np.array(Image.fromarray(pixels).resize((size, size), RESAMPLING))


class VehicleImages(TorchDataset[tuple[Tensor, Tensor, Tensor, int]]):
    """Decoded images with boxes; an item is asked for by its number, or by a `Sample`, which augments it.

    The randomness of a sample comes from (seed, epoch, position) alone, so the number of workers does not matter.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        boxes: Boxes,
        present: NDArray[np.bool_],
        *,
        size: int,
        pixels: Callable[[int], Pixels] | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """Keep paths (N), boxes (N, D, 4) in [0, 1] and present (N, D); images come out `size` pixels square.

        `pixels` gives an image, (size, size, 3), by its number; without it every image is read from its file.
        """
        self.paths, self.boxes, self.present = list(paths), boxes, present
        self.pixels = pixels or ResizedFiles(self.paths, size)
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def __getitem__(self, item: int | Sample) -> tuple[Tensor, Tensor, Tensor, int]:
        """Return image (3, S, S) uint8, boxes (D, 4), present (D,), number. Raises ImageError for a bad file."""
        index = item.image if isinstance(item, Sample) else item
        image, boxes = self.pixels(index), self.boxes[index]
        if isinstance(item, Sample) and self.augmentation is not None:
            random = np.random.default_rng((self.seed, item.epoch, item.position))
            image, boxes = augment(image, boxes, self.augmentation, random)
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return tensor, torch.from_numpy(np.ascontiguousarray(boxes)), torch.from_numpy(self.present[index]), index


def collate(items: Sequence[tuple[Tensor, Tensor, Tensor, int]]) -> Batch:
    """Stack items to a batch."""
    images, boxes, present, index = zip(*items, strict=True)
    return Batch(torch.stack(images), torch.stack(boxes), torch.stack(present), torch.tensor(index))


def read_batches(loader: Iterable[Item]) -> Iterator[Item]:
    """Yield the batches of a loader; a UserError from one of its workers comes as its own line, without a traceback."""
    try:
        yield from loader
    except UserError as error:
        # without its trace, which holds the loader: its processes end here, not whenever the error is forgotten
        raise last_line(error) from error.with_traceback(None)


def vehicle_images(
    dataset: Dataset,
    parts: PartBoxes,
    names: Sequence[str],
    *,
    depth: int,
    size: int,
    decoded: DecodedImages | None = None,
) -> VehicleImages:
    """Return the named images of a data set with their `depth` most confident boxes, without augmentation.

    `decoded` gives their pixels where they are kept; the items are the same. Raises UserError where a file is missing;
    an image of another size than its boxes were found on is refused when it is read, or here where it is decoded.
    """
    boxes, present = part_arrays(parts, names, depth)
    paths, stored = image_paths(dataset, names), parts.image_size[parts.rows(names)]
    if decoded is None:
        return VehicleImages(paths, boxes, present, size=size, pixels=ResizedFiles(paths, size, stored))
    for path, wanted in zip(paths, stored, strict=True):
        require_size(path, image_size(path) if wanted.any() else (), wanted)
    return VehicleImages(paths, boxes, present, size=size, pixels=decoded.of(names))


def image_paths(dataset: Dataset, names: Sequence[str]) -> list[Path]:
    """Return where the named images lie. Raises UserError where one is missing, so that no run ends over it later."""
    paths = [dataset.path(name) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"{len(missing)} images are missing, first {missing[0]}; `python cli.py check` lists them")
    return paths


def normalised(images: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) to float, channels last, as the trunk expects them."""
    # a copy that is not waited for: to wait would be for all work of a GPU, in every step
    mean, deviation = (values.to(images.device, non_blocking=True) for values in (MEANS, DEVIATIONS))
    return ((images.float() / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)
