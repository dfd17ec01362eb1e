"""Images with their part boxes as tensors for the network.

An image's boxes go from parts.h5 to the network's masks in five steps:

    part_cache       parts.h5 in memory, `PartBoxes`: boxes (N, K, 4) in pixels, the most confident first; with
                     `parts_per_label` or `parts_first` only D of them, chosen by data_cache/parts/selection.py; without
                     those that `hide` names, which hiding.py covers in the pixels
    part_arrays      the top D boxes of the wanted images, (N, D, 4) in [0, 1] of the image, and which are present
    VehicleImages    an item: the resized image with its boxes, flipped together by augmentation
    Batch            items stacked, (B, D, 4); `Batch.inputs` moves them to the device
    PGAN.forward     `part_masks` turns the boxes into masks (B, D, h, w) on the grid of the feature map
"""

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
from data_cache.base.options import remedy_command
from data_cache.base.pretrained import MEAN, STD
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import ImageError, image_size, load_image
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, empty_cache, read_parts
from data_cache.parts.verification import require_dataset
from reid.data.augmentation import Augmentation, Boxes, Pixels, augment
from reid.data.hiding import cover, hidden_boxes, network_parts
from reid.data.image_changes import change
from reid.data.pixel_file import PixelFile, Size, height_and_width
from reid.data.sampler import Sample
from reid.recipes import ReidRecipe
from reid.runs import parts_path

Item = tuple[Tensor, Tensor, Tensor, int]
Loaded = TypeVar("Loaded")
RESAMPLING = Image.Resampling.BILINEAR
MEANS, DEVIATIONS = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)


@dataclass(frozen=True)
class Batch:
    """images (B, 3, H, W) uint8, boxes (B, D, 4) in [0, 1], present (B, D) bool, index (B,) into the list of images."""

    images: Tensor
    boxes: Tensor
    present: Tensor
    index: Tensor

    def pin_memory(self) -> "Batch":
        """Return a copy in page-locked memory; a loader for a GPU calls it."""
        return Batch(*(tensor.pin_memory() for tensor in vars(self).values()))

    def inputs(self, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of `PGAN.forward` on `device`: normalised images, boxes, present."""
        images, boxes, present = (
            tensor.to(device, non_blocking=True) for tensor in (self.images, self.boxes, self.present)
        )
        return normalised(images), boxes, present


class VehicleImages(TorchDataset[Item]):
    """Resized images with boxes; the key is an image's index, or a `Sample`, whose image is augmented.

    The randomness of a sample depends on (seed, epoch, position) only, so the number of workers does not matter.
    """

    def __init__(
        self,
        pixels: Callable[[int], Pixels],
        boxes: Boxes,
        present: NDArray[np.bool_],
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """Keep boxes (N, D, 4) in [0, 1] and present (N, D); `pixels` returns an image (H, W, 3) by its index."""
        self.pixels, self.boxes, self.present = pixels, boxes, present
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.boxes)

    def __getitem__(self, key: int | Sample) -> Item:
        """Return image (3, H, W) uint8, boxes (D, 4), present (D,), index. Raises ImageError for a bad file."""
        index = key.image if isinstance(key, Sample) else key
        image, boxes, present = self.pixels(index), self.boxes[index], self.present[index]
        if isinstance(key, Sample) and self.augmentation is not None:
            random = np.random.default_rng((self.seed, key.epoch, key.position))
            if self.augmentation.changes != "none":
                image, boxes, present = change(image, boxes, present, self.augmentation.changes, random)
            image, boxes = augment(image, boxes, self.augmentation, random)
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return tensor, torch.from_numpy(np.ascontiguousarray(boxes)), torch.from_numpy(present), index


def part_cache(dataset: Dataset, recipe: ReidRecipe, runs: Path, path: Path | None) -> PartBoxes:
    """Return the part cache at `path`, by default the data set's own; an empty one if the recipe reads no boxes.

    With `parts_per_label` or `parts_first` it is reduced to the boxes that the recipe chooses; with `hide`, see
    `hide_parts`.
    """
    if not recipe.reads_boxes:
        return empty_cache(dataset.names())
    path = path or parts_path(runs, dataset.name)
    parts = read_parts(path)
    require_dataset(parts, dataset, path)
    return network_parts(parts, recipe)


def vehicle_images(
    dataset: Dataset,
    parts: PartBoxes,
    names: Sequence[str],
    *,
    top_d: int,
    size: Size,
    decoded: PixelFile | None = None,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> VehicleImages:
    """Return the named images of a data set with their `top_d` most confident boxes, resized to `size`.

    `decoded` is read in place of the image files; it was made with `parts`, and the items are the same. What `parts`
    hides is covered in the pixels. Raises UserError if a file is missing. An
    image whose size is not the one that its boxes were detected at is refused when it is read, or here if `decoded`.
    """
    boxes, present = part_arrays(parts, names, top_d)
    paths, sizes = image_paths(dataset, names), parts.image_size[parts.rows(names)]
    if decoded is None:
        files = ResizedFiles(paths, size, sizes, turned=parts.turned, hidden=hidden_boxes(parts, names))
        return VehicleImages(files, boxes, present, augmentation=augmentation, seed=seed)
    for path, expected in zip(paths, sizes, strict=True):
        require_size(path, image_size(path, turned=parts.turned) if expected.any() else (), expected)
    return VehicleImages(decoded.images(names), boxes, present, augmentation=augmentation, seed=seed)


def part_arrays(parts: PartBoxes, names: Sequence[str], top_d: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return the `top_d` most confident boxes of each name, (N, D, 4) in [0, 1] of the image, and present, (N, D).

    Raises UserError if a name is not in the cache or failed, or if the cache holds fewer than `top_d` slots per image.
    A cache from `empty_cache` has no slots and fits every `top_d`.
    """
    slots = parts.labels.shape[1]
    if 0 < slots < top_d:
        raise UserError(f"the recipe uses {top_d} parts per image, the part cache holds {slots}; lower parts")
    rows = parts.rows(names)
    failed = rows[parts.status[rows] == STATUS_FAILED]
    if len(failed):
        raise UserError(
            f"{len(failed)} images could not be read, first {parts.names[failed[0]]} ({parts.failure[failed[0]]}); "
            f"fix them or remove them from the list, then {parts.remedy}"
        )
    size = parts.image_size[rows].astype(np.float32)
    boxes = parts.boxes[rows, :top_d] / np.concatenate([size, size], axis=1)[:, None, :]
    return boxes.astype(np.float32), parts.labels[rows, :top_d] >= 0


def collate(items: Sequence[Item]) -> Batch:
    """Stack items to a batch."""
    images, boxes, present, index = zip(*items, strict=True)
    return Batch(torch.stack(images), torch.stack(boxes), torch.stack(present), torch.tensor(index))


def read_batches(loader: Iterable[Loaded]) -> Iterator[Loaded]:
    """Yield the batches of a loader; a UserError of a worker is raised without the worker's traceback."""
    try:
        yield from loader
    except UserError as error:
        # the traceback refers to the loader; without it the worker processes end now
        raise last_line(error) from error.with_traceback(None)


@dataclass(frozen=True, eq=False)
class ResizedFiles:
    """Images read from files and resized; a call returns the image of an index.

    `expected` (N, 2) is the width and height that each image must have; 0 stands for any. `turned` is that of
    `load_image`. `hidden` (N, H, 4) are boxes that are covered before the image is resized, see `cover`.
    """

    paths: Sequence[Path]
    size: Size
    expected: NDArray[np.int32] | None = None
    turned: bool = True
    hidden: Boxes | None = None

    def __call__(self, index: int) -> Pixels:
        """Return the image, (H, W, 3) uint8. Raises ImageError for a bad file or an unexpected size."""
        image = load_image(self.paths[index], turned=self.turned)
        if self.expected is not None:
            require_size(self.paths[index], image.shape[1::-1], self.expected[index])
        return resized(image if self.hidden is None else cover(image, self.hidden[index]), self.size)


def require_size(path: Path, found: Sequence[int], expected: NDArray[np.int32]) -> None:
    """Raise ImageError if an image's (width, height) is not the one at which its parts were detected; 0 is any."""
    if expected.any() and tuple(found) != tuple(expected.tolist()):
        before, now = (" x ".join(map(str, size)) for size in (expected.tolist(), found))
        raise ImageError(
            f"{path}: {now} pixels, {before} when its parts were detected: the image was replaced; "
            f"delete the part cache and run {remedy_command('detect')} again"
        )


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Return an image (H, W, 3) as the network sees it, of `size`; the aspect ratio is not kept."""
    height, width = height_and_width(size)
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLING))


def image_paths(dataset: Dataset, names: Sequence[str]) -> list[Path]:
    """Return the files of the named images. Raises UserError if any is missing, before a long run starts."""
    paths = [dataset.path(name) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"{len(missing)} images are missing, first {missing[0]}; {remedy_command('check')} lists them")
    return paths


def normalised(images: Tensor) -> Tensor:
    """Return uint8 images (B, 3, H, W) as the backbone expects them: float, normalised, channels last."""
    # non_blocking: a GPU would otherwise finish all its queued work first, in every step
    mean, deviation = (values.to(images.device, non_blocking=True) for values in (MEANS, DEVIATIONS))
    return ((images.float() / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)
