"""Images as the API accepts them: paths, bytes, arrays, Pillow images or a folder, each image with a unique name."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PillowImage

from data_cache.base.errors import UserError
from data_cache.base.remote.addresses import Address, Location
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import CONTROL, camera_number, read_image_list
from data_cache.images.loading import (
    MAX_PIXELS,
    ImageError,
    decode_image,
    images_below,
    load_image,
    path_inside,
    rgb_pixels,
)

log = logging.getLogger(__name__)

Image = str | Path | Address | bytes | NDArray[np.uint8] | PillowImage.Image
Cameras = int | Mapping[str, int] | Sequence[int]
IMAGE_TYPES = (str, Path, Address, bytes, np.ndarray, PillowImage.Image)
UNKNOWN_CAMERA = -1
KEPT_BYTES = 2**26  # of decoded images: a photograph of 20 megapixels, or hundreds of vehicles
MAX_LOOKED_UP = 1000  # file names: a network disk needs seconds for these, minutes for a large gallery


@dataclass(frozen=True)
class Folder:
    """A folder of image files, or its address; `label` names it in messages and in the part cache."""

    root: Location
    label: str


@dataclass(frozen=True, eq=False)
class NamedImages:
    """N images: unique names (N,), sources (N,), cameras (N,) int64, -1 if unknown.

    If `folder` is given, every source is a file below it and every name its relative path.
    """

    names: tuple[str, ...]
    sources: tuple[Image, ...]
    cameras: NDArray[np.int64]
    folder: Folder | None = None

    def __post_init__(self) -> None:
        """Raise UserError if a name is empty, duplicate or contains control characters."""
        if not len(self.names) == len(self.sources) == len(self.cameras):
            raise ValueError(f"{len(self.names)} names, {len(self.sources)} images, {len(self.cameras)} cameras")
        invalid = [name for name in self.names if not name or CONTROL.search(name)]
        if invalid:
            raise UserError(f"{invalid[0]!a} cannot be an image's name: it is empty or contains a control character")
        duplicates = [name for name, count in Counter(self.names).items() if count > 1]
        if duplicates:
            raise UserError(f"{len(duplicates)} image names occur more than once, first {duplicates[0]}; rename them")

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (H, W, 3) uint8 RGB. Raises ImageError if it cannot be used."""
        return pixels_of(self.sources[index], self.names[index])

    def decoded(self) -> "NamedImages":
        """Return the images with pixels in place of files, so that both stages share them, up to `KEPT_BYTES`.

        An image that cannot be decoded is left as it is: the stage that reads it says why.
        """
        sources, kept = list(self.sources), 0
        for row in range(len(self)):
            if kept >= KEPT_BYTES:
                break
            with suppress(ImageError):
                pixels = self.pixels(row)
                sources[row], kept = pixels, kept + pixels.nbytes
        return replace(self, sources=tuple(sources), folder=None)

    def decoding_errors(self) -> list[str]:
        """Return why each image cannot be used, "" if it can; decodes all of them."""
        errors = [""] * len(self)
        for index in range(len(self)):
            try:
                self.pixels(index)
            except ImageError as error:
                errors[index] = str(error)
        return errors

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "NamedImages":
        """Return the images of these rows, in that order."""
        names, sources = tuple(self.names[row] for row in rows), tuple(self.sources[row] for row in rows)
        return replace(self, names=names, sources=sources, cameras=self.cameras[rows])

    def sorted_by_name(self) -> "NamedImages":
        """Return the images sorted by name, as a part cache needs them."""
        return self.take(np.array(sorted(range(len(self)), key=self.names.__getitem__), dtype=np.int64))

    def readable(self, errors: Sequence[str], *, skip: bool) -> "NamedImages":
        """Return the images without an error; `errors` (N,) are "" for readable images.

        Raises UserError if an image has one, unless `skip`.
        """
        failed = [row for row, error in enumerate(errors) if error]
        if not failed:
            return self
        message = f"{len(failed)} of {len(self)} images cannot be read, first {errors[failed[0]]}"
        if not skip:
            raise UserError(f"{message}; fix them, or skip them with --skip-unreadable (Python: skip_unreadable=True)")
        log.warning(f"{message}; skipping them")
        return self.take([row for row, error in enumerate(errors) if not error])

    def with_cameras(self, cameras: Cameras | None) -> "NamedImages":
        """Return the images with these camera ids: one for all, a mapping from names, or one per image.

        Raises UserError if they are not whole numbers or do not fit the images.
        """
        if cameras is None:
            return self
        if isinstance(cameras, Mapping):
            cameras = [cameras.get(name, UNKNOWN_CAMERA) for name in self.names]
        numbers = np.broadcast_to(np.asarray(cameras), len(self)) if isinstance(cameras, int) else np.asarray(cameras)
        if numbers.shape != (len(self),) or (len(self) and not np.issubdtype(numbers.dtype, np.integer)):
            raise UserError(f"cameras must be whole numbers: one for all {len(self)} images, one per image, or by name")
        return replace(self, cameras=numbers.astype(np.int64))

    def dataset(self) -> Dataset:
        """Return the images as a data set, as both stages take them. Raises UserError unless they are in one folder."""
        if self.folder is None:
            raise UserError("work: resuming needs all images in one folder; give the folder, or leave work out")
        columns: dict[str, Any] = {"name": self.names, "vehicle_id": "", "camera_id": self.cameras, "split": "gallery"}
        return Dataset(self.folder.label, self.folder.root, pd.DataFrame(columns), {})


Images = Image | Iterable[Image] | Mapping[str, Image] | NamedImages


def named_images(images: Images, cameras: Cameras | None = None) -> NamedImages:
    """Return images with names: the keys of a mapping, else the path as given, else `image-000000` by position.

    A folder stands for all JPEG and PNG files below it, named by their relative paths. Raises UserError for anything
    else.
    """
    return _named(images).with_cameras(cameras)


def _named(images: Images) -> NamedImages:
    if isinstance(images, NamedImages):
        return images
    if isinstance(images, str | Path) and Path(images).is_dir():
        return images_of_folder(Path(images))
    if isinstance(images, Mapping):
        names, sources = tuple(images), tuple(images.values())
    else:
        sources = (images,) if isinstance(images, IMAGE_TYPES) else tuple(images)
        names = tuple(
            str(source) if isinstance(source, str | Path | Address) else f"image-{row:06d}"
            for row, source in enumerate(sources)
        )
    for name, source in zip(names, sources, strict=True):
        if not isinstance(source, IMAGE_TYPES):
            kind = type(source).__name__
            raise UserError(f"{name}: cannot use {kind} as an image; give a path, bytes, an array or a Pillow image")
        if not isinstance(name, str):
            raise UserError(f"{name!r}: an image's name must be text")
    return NamedImages(names, sources, np.full(len(names), UNKNOWN_CAMERA, dtype=np.int64))


def images_of_folder(folder: Path, names: Sequence[str] | None = None) -> NamedImages:
    """Return all images below `folder`, or the named ones. Raises UserError if a name leads out of it."""
    names = tuple(images_below(folder) if names is None else names)
    sources = tuple(path_inside(folder, name) for name in names)
    unknown = np.full(len(names), UNKNOWN_CAMERA, dtype=np.int64)
    return NamedImages(names, sources, unknown, Folder(folder, folder.resolve().name))


def missing_images(folder: Path, names: Sequence[str]) -> tuple[list[str], int]:
    """Return which names are no files below `folder`, and how many were looked up: `MAX_LOOKED_UP` at most.

    >>> missing_images(Path("/nowhere"), ["a.jpg", "b.jpg"])
    (['a.jpg', 'b.jpg'], 2)
    """
    looked_up = names[:: max(1, math.ceil(len(names) / MAX_LOOKED_UP))]
    return [name for name in looked_up if not _is_file_in(folder, name)], len(looked_up)


def _is_file_in(folder: Path, name: str) -> bool:
    try:
        return path_inside(folder, name).is_file()
    except (ImageError, OSError):  # it leads out of the folder, or the system refuses to look
        return False


def images_of_list(path: Path) -> NamedImages:
    """Return the images of a list file with lines `image` or `image camera`, paths relative to the file's folder.

    Raises UserError, with the entry, for a path outside that folder and for an invalid camera number.
    """
    entries = read_image_list(path).entries
    if not entries:
        raise UserError(f"{path}: lists no image")
    cameras = [
        camera_number(fields[1], f"{path}, entry {number}") if len(fields) > 1 else UNKNOWN_CAMERA
        for number, fields in entries
    ]
    return images_of_folder(path.parent, [fields[0] for _, fields in entries]).with_cameras(cameras)


def images_of_split(dataset: Dataset, split: str) -> NamedImages:
    """Return the gallery images of a test split, with their cameras; on VehicleID those of the first draw."""
    table = dataset.table.iloc[dataset.protocol(split, draws=1).trials[0].gallery]
    names = tuple(table["name"])
    sources = tuple(dataset.path(name) for name in names)
    return NamedImages(names, sources, table["camera_id"].to_numpy("int64"), Folder(dataset.root, dataset.name))


def pixels_of(source: Image, name: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, (H, W, 3) uint8 RGB, decoded as in both stages. Raises ImageError."""
    if isinstance(source, str | Path | Address):
        return load_image(Path(source) if isinstance(source, str) else source)
    if isinstance(source, bytes):
        pixels = decode_image(source, name)
    elif isinstance(source, np.ndarray):
        pixels = np.ascontiguousarray(source)  # of a view, such as bgr[:, :, ::-1], torch makes no tensor
    else:
        pixels = rgb_pixels(source, name)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"{name}: an array of {pixels.dtype} {pixels.shape}; an image must be uint8 (H, W, 3), RGB")
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise ImageError(f"{name}: {pixels.shape[1]} x {pixels.shape[0]} is over {MAX_PIXELS // 10**6} megapixels")
    return pixels
