"""Images with their part boxes as tensors for the network.

An image's boxes go from parts.h5 to the network's masks in five steps:

    part_cache       parts.h5 in memory, `PartBoxes`: boxes (N, K, 4) in pixels, the most confident first; with
                     `parts_per_label` or `parts_first` only D of them, chosen by data_cache/parts/selection.py; without
                     those that `hide` names, which hiding.py covers in the pixels
    part_arrays      the top D boxes of the wanted images, (N, D, 4) in [0, 1] of the image, and their labels
    VehicleImages    an item: the views of an image, resized and cropped, with its boxes, augmented together
    Batch            items stacked, (B, D, 4); `Batch.inputs` moves them to the device
    PGAN.forward     `part_masks` turns the boxes into masks (B, D, h, w) on the grid of the feature map
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.base.pretrained import MEAN, STD
from data_cache.base.remote.addresses import Address, Location
from data_cache.base.remote.requests import sizes_of_files
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import ImageError, ImageFile, fetched, image_size, load_image
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, empty_cache, read_parts
from data_cache.parts.verification import require_dataset
from reid.data.augmentation import Augmentation, Boxes, augment
from reid.data.hiding import hidden_boxes, network_parts
from reid.data.image_changes import change
from reid.data.pixel_file import Size
from reid.data.sampler import Sample
from reid.data.views import ViewMaker, Views
from reid.recipes import ReidRecipe
from reid.runs import parts_path

Labels = NDArray[np.int64]
MEANS, DEVIATIONS = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)


class DecodedImages(Protocol):
    """Views of images that were decoded before, see decoded.py."""

    def views(self, names: Sequence[str]) -> Callable[[int], Views]:
        """Return a function from an index into `names` to the views of that image."""


class Item(NamedTuple):
    """image (3, H, W) uint8, boxes (D, 4) in [0, 1], labels (D,), crops (D, 3, S, S) uint8, number in the list."""

    image: Tensor
    boxes: Tensor
    labels: Tensor
    crops: Tensor
    number: int


@dataclass(frozen=True)
class Batch:
    """Items stacked: images (B, 3, H, W), boxes (B, D, 4), labels (B, D), crops (B, D, 3, S, S), index (B,).

    A label is the number of a kind of part, -1 where there is no part; S is 0 for networks without crops.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    crops: Tensor
    index: Tensor

    def pin_memory(self) -> "Batch":
        """Return a copy in page-locked memory; a loader for a GPU calls it."""
        return Batch(*(tensor.pin_memory() for tensor in vars(self).values()))

    def inputs(self, device: str) -> tuple[Tensor, ...]:
        """Return the arguments of `forward` of `PGANPlus` if there are crops, else of `PGAN`, on `device`.

        Images and crops are normalised.
        """
        images, boxes, labels, crops = (
            tensor.to(device, non_blocking=True) for tensor in (self.images, self.boxes, self.labels, self.crops)
        )
        if not crops.shape[3]:
            return normalised(images), boxes, labels >= 0
        return normalised(images), boxes, labels, normalised_crops(crops)


class VehicleImages(TorchDataset[Item]):
    """Resized images with boxes; the key is an image's index, or a `Sample`, whose image is augmented.

    The randomness of a sample depends on (seed, epoch, position) only, so the number of workers does not matter.
    """

    def __init__(
        self,
        views: Callable[[int], Views],
        boxes: Boxes,
        labels: Labels,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """Keep boxes (N, D, 4) in [0, 1] and labels (N, D), -1 for none; `views` returns the views of an index."""
        self.views, self.boxes, self.labels = views, boxes, labels
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.boxes)

    @property
    def place(self) -> Location | None:
        """The file of one of the images, all of which are in one store or on this machine; None if not in files."""
        return next(iter(self.views.paths), None) if isinstance(self.views, FileViews) else None

    def __getitem__(self, key: int | Sample) -> Item:
        """Return an item. Raises ImageError for a bad file."""
        return self._item(key, self.views)

    def __getitems__(self, keys: Sequence[int | Sample]) -> list[Item]:
        """Return the items of a batch, which torch asks for; files at addresses are read together."""
        views = self.views
        if isinstance(views, FileViews):
            views = views.fetched(_index(key) for key in keys)
        return [self._item(key, views) for key in keys]

    def _item(self, key: int | Sample, views: Callable[[int], Views]) -> Item:
        index = _index(key)
        (image, crops), boxes, labels = views(index), self.boxes[index], self.labels[index]
        if isinstance(key, Sample) and self.augmentation is not None:
            random = np.random.default_rng((self.seed, key.epoch, key.position))
            if self.augmentation.changes != "none":
                level = self.augmentation.changes
                image, crops, boxes, present = change(image, crops, boxes, labels >= 0, level, random)
                labels = np.where(present, labels, -1)
            image, crops, boxes = augment(image, crops, boxes, self.augmentation, random)
        parts = torch.from_numpy(np.ascontiguousarray(boxes)), torch.from_numpy(labels)
        return Item(_channels_first(image), *parts, _channels_first(crops), index)


def _index(key: int | Sample) -> int:
    return key.image if isinstance(key, Sample) else key


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """(..., H, W, 3) -> (..., 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3)))


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
    crop: int = 0,
    decoded: DecodedImages | None = None,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> VehicleImages:
    """Return the named images of a data set with their `top_d` most confident boxes, resized to `size`.

    With `crop`, its side in pixels, the items have a crop of each of these boxes. `decoded` is read in place of the
    image files; it was made with `parts`, and the items are the same. What `parts` hides is covered in the pixels.
    Raises UserError if a file is missing. An image whose size is not the one that its boxes were detected at is refused
    when it is read, or here if `decoded`.
    """
    boxes, labels = part_arrays(parts, names, top_d)
    paths, sizes = image_paths(dataset, names), parts.image_size[parts.rows(names)]
    if decoded is None:
        maker = ViewMaker(size, hidden_boxes(parts, names), crop, boxes, labels >= 0)
        files = FileViews(paths, maker, sizes, turned=parts.turned)
        return VehicleImages(files, boxes, labels, augmentation=augmentation, seed=seed)
    for path, expected in zip(paths, sizes, strict=True):
        require_size(path, image_size(path, turned=parts.turned) if expected.any() else (), expected)
    return VehicleImages(decoded.views(names), boxes, labels, augmentation=augmentation, seed=seed)


def part_arrays(parts: PartBoxes, names: Sequence[str], top_d: int) -> tuple[Boxes, Labels]:
    """Return the `top_d` most confident boxes of each name, (N, D, 4) in [0, 1] of the image, and their labels, (N, D).

    Raises UserError if a name is not in the cache or failed, or if the cache holds fewer than `top_d` slots per image.
    A label is the number of a part in the cache's names, -1 for none. A cache from `empty_cache` has no slots and fits
    every `top_d`.
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
    return boxes.astype(np.float32), parts.labels[rows, :top_d].astype(np.int64)


def collate(items: Sequence[Item]) -> Batch:
    """Stack items to a batch."""
    images, boxes, labels, crops, numbers = zip(*items, strict=True)
    stacked = (torch.stack(values) for values in (images, boxes, labels, crops))
    return Batch(*stacked, torch.tensor(numbers))  # type: ignore[call-arg]


@dataclass(frozen=True, eq=False)
class FileViews:
    """Views of images that are read from files; a call returns those of an index.

    `expected` (N, 2) is the width and height that each image must have; 0 stands for any. `turned` is that of
    `load_image`. `contents` are files that were read before, by index.
    """

    paths: Sequence[Location]
    maker: ViewMaker
    expected: NDArray[np.int32] | None = None
    turned: bool = True
    contents: Mapping[int, ImageFile] = field(default_factory=dict)

    def fetched(self, indexes: Iterable[int]) -> "FileViews":
        """Return the views of some indexes, whose files at addresses were read together."""
        chosen = [*indexes]
        files = fetched([self.paths[index] for index in chosen])
        return replace(self, contents=dict(zip(chosen, files, strict=True)))

    def __call__(self, index: int) -> Views:
        """Return the views. Raises ImageError for a bad file or an unexpected size."""
        image = load_image(self.contents.get(index, self.paths[index]), turned=self.turned)
        if self.expected is not None:
            require_size(self.paths[index], image.shape[1::-1], self.expected[index])
        return self.maker(index, image)


def require_size(path: ImageFile, found: Sequence[int], expected: NDArray[np.int32]) -> None:
    """Raise ImageError if an image's (width, height) is not the one at which its parts were detected; 0 is any."""
    if expected.any() and tuple(found) != tuple(expected.tolist()):
        before, now = (" x ".join(map(str, size)) for size in (expected.tolist(), found))
        raise ImageError(
            f"{path}: {now} pixels, {before} when its parts were detected: the image was replaced; "
            f"delete the part cache and run {remedy_command('detect')} again"
        )


def image_paths(dataset: Dataset, names: Sequence[str]) -> list[Location]:
    """Return the files of the named images. Raises UserError if any is missing, before a long run starts."""
    paths = [dataset.path(name) for name in names]
    sizes = iter(sizes_of_files([path for path in paths if isinstance(path, Address)]))
    missing = [path for path in paths if (next(sizes) is None if isinstance(path, Address) else not path.is_file())]
    if missing:
        raise UserError(f"{len(missing)} images are missing, first {missing[0]}; {remedy_command('check')} lists them")
    return paths


def normalised(images: Tensor) -> Tensor:
    """Return uint8 images (B, 3, H, W) as the backbone expects them: float, normalised, channels last."""
    # non_blocking: a GPU would otherwise finish all its queued work first, in every step
    mean, deviation = (values.to(images.device, non_blocking=True) for values in (MEANS, DEVIATIONS))
    return ((images.float() / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)


def normalised_crops(crops: Tensor) -> Tensor:
    """Return uint8 crops (B, D, 3, S, S) normalised as `normalised` does images."""
    return normalised(crops.flatten(0, 1)).view(crops.shape)
