"""What the API takes for images, each under a name: paths, bytes, arrays, images of Pillow's; and whole folders."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PillowImage

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import CONTROL
from data_cache.images.loading import (
    MAX_PIXELS,
    ImageError,
    decode_image,
    images_below,
    load_image,
    path_inside,
    rgb_pixels,
)
from data_cache.parts.cache import STATUS_FAILED, PartBoxes

log = logging.getLogger(__name__)

Image = str | Path | bytes | NDArray[np.uint8] | PillowImage.Image
Cameras = int | Mapping[str, int] | Sequence[int]
KINDS = (str, Path, bytes, np.ndarray, PillowImage.Image)
UNKNOWN_CAMERA = -1


@dataclass(frozen=True)
class Folder:
    """Where images that are all files lie: names are paths below `root`; `label` is told in messages."""

    root: Path
    label: str


@dataclass(frozen=True, eq=False)
class NamedImages:
    """N images: names (N,), each once; sources (N,); cameras (N,) int64, -1 where it is not known."""

    names: tuple[str, ...]
    sources: tuple[Image, ...]
    cameras: NDArray[np.int64]
    folder: Folder | None = None

    def __post_init__(self) -> None:
        """Refuse names that are doubled, empty or cannot be told in one line. Raises UserError."""
        if not len(self.names) == len(self.sources) == len(self.cameras):
            raise ValueError(f"{len(self.names)} names, {len(self.sources)} images, {len(self.cameras)} cameras")
        strange = [name for name in self.names if not name or CONTROL.search(name)]
        if strange:
            raise UserError(f"{strange[0]!a} cannot be an image's name: empty, or with a control character")
        doubled = [name for name, count in Counter(self.names).items() if count > 1]
        if doubled:
            raise UserError(f"{len(doubled)} images are named twice, first {doubled[0]}; each needs a name of its own")

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8 RGB. Raises ImageError where it cannot be used."""
        return pixels_of(self.sources[index], self.names[index])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "NamedImages":
        """Return the images of these numbers, in that order."""
        names = tuple(self.names[row] for row in rows)
        return replace(self, names=names, sources=tuple(self.sources[row] for row in rows), cameras=self.cameras[rows])

    def by_name(self) -> "NamedImages":
        """Return the images in the order of their names, as a part cache has them."""
        return self.take(np.array(sorted(range(len(self)), key=self.names.__getitem__), dtype=np.int64))

    def taken_by(self, cameras: Cameras | None) -> "NamedImages":
        """Return the images with these cameras: one for all, by name, or one for each. Raises UserError."""
        if cameras is None:
            return self
        if isinstance(cameras, Mapping):
            cameras = [cameras.get(name, UNKNOWN_CAMERA) for name in self.names]
        numbers = np.broadcast_to(np.asarray(cameras), len(self)) if isinstance(cameras, int) else np.asarray(cameras)
        if numbers.shape != (len(self),) or (len(self) and not np.issubdtype(numbers.dtype, np.integer)):
            raise UserError(f"cameras are whole numbers, one for each of the {len(self)} images, by name or for all")
        return replace(self, cameras=numbers.astype(np.int64))

    def dataset(self, folder: Folder) -> Dataset:
        """Return the images as a data set of their folder, for the stages, which take files."""
        columns: dict[str, Any] = {"name": self.names, "vehicle_id": "", "camera_id": self.cameras, "split": "gallery"}
        return Dataset(folder.label, folder.root, pd.DataFrame(columns), {})


Images = Image | Iterable[Image] | Mapping[str, Image] | NamedImages


def named_images(images: Images, cameras: Cameras | None = None) -> NamedImages:
    """Return images under their names: the keys of a mapping, else the path as given, else `image-000000` by position.

    A folder stands for all JPEG and PNG files below it, named by their paths in it. Raises UserError for anything else.
    """
    return _named(images).taken_by(cameras)


def _named(images: Images) -> NamedImages:
    if isinstance(images, NamedImages):
        return images
    if isinstance(images, str | Path) and Path(images).is_dir():
        return images_of_folder(Path(images))
    if isinstance(images, Mapping):
        return _checked(tuple(images), tuple(images.values()))
    sources = (images,) if isinstance(images, KINDS) else tuple(images)
    names = (str(one) if isinstance(one, str | Path) else f"image-{row:06d}" for row, one in enumerate(sources))
    return _checked(tuple(names), sources)


def images_of_folder(folder: Path, names: Sequence[str] | None = None) -> NamedImages:
    """Return the named images below `folder`, or all that lie there. Raises UserError where one leads out of it."""
    found = tuple(images_below(folder) if names is None else names)
    sources = tuple(path_inside(folder, name) for name in found)
    unknown = np.full(len(found), UNKNOWN_CAMERA, dtype=np.int64)
    return NamedImages(found, sources, unknown, Folder(folder, folder.resolve().name))


def _checked(names: tuple[str, ...], sources: tuple[Image, ...]) -> NamedImages:
    for name, source in zip(names, sources, strict=True):
        if not isinstance(source, KINDS):
            raise UserError(f"{name}: {type(source).__name__} is no image; give a path, bytes, an array or Pillow's")
        if not isinstance(name, str):
            raise UserError(f"{name!r}: an image's name is text")
    return NamedImages(names, sources, np.full(len(names), UNKNOWN_CAMERA, dtype=np.int64))


def pixels_of(source: Image, name: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, (H, W, 3) uint8 RGB, decoded as everywhere. Raises ImageError."""
    if isinstance(source, str | Path):
        return load_image(Path(source))
    if isinstance(source, bytes):
        pixels = decode_image(source, name)
    elif isinstance(source, np.ndarray):
        pixels = source
    else:
        pixels = rgb_pixels(source, name)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"{name}: an array of {pixels.dtype} {pixels.shape}; an image is uint8 (H, W, 3), RGB")
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise ImageError(f"{name}: {pixels.shape[1]} x {pixels.shape[0]} is over {MAX_PIXELS // 10**6} megapixels")
    return pixels


def readable(images: NamedImages, parts: PartBoxes, skip: bool) -> NamedImages:
    """Return the images whose parts could be looked for. Raises UserError where some could not, unless `skip`."""
    rows = parts.rows(images.names)
    failed = parts.status[rows] == STATUS_FAILED
    first = f"{parts.failure[rows[int(failed.argmax())]]}" if failed.any() else ""
    return _without(images, failed, first, skip)


def decodable(images: NamedImages) -> NamedImages:
    """Return the images that can be read, and tell of the others: for networks whose parts nobody looked for."""
    failures = [_failure(images, index) for index in range(len(images))]
    return _without(images, np.array(failures, dtype=bool), next(filter(None, failures), ""), skip=True)


def _failure(images: NamedImages, index: int) -> str:
    try:
        images.pixels(index)
    except ImageError as error:
        return str(error)
    return ""


def _without(images: NamedImages, failed: NDArray[np.bool_], first: str, skip: bool) -> NamedImages:
    if not failed.any():
        return images
    told = f"{int(failed.sum())} of {len(images)} images cannot be read, first {first}"
    if not skip:
        raise UserError(f"{told}; mend them, or leave them out with --skip-unreadable (in Python skip_unreadable=True)")
    log.info(f"{told}; they are left out")
    return images.take(np.flatnonzero(~failed))
