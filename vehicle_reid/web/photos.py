"""The photos of the page by key: images of the gallery, read from disk, and uploads, kept in memory."""

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import ImageError, image_size, load_image, path_inside
from reid.data.vehicle_images import VehicleImages
from reid.report.pictures.thumbnails import resize_to_height
from vehicle_reid.gallery.entries import ENROLLED_BY, Entries
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.gallery.gallery import Gallery
from vehicle_reid.tables import embeddings_table

PICTURE_HEIGHT = 360  # pixels; shown smaller, which stays sharp on high-resolution screens
UPLOAD_HEIGHT = 720  # of large uploads, for drawing a rectangle in a frame
KEPT_UPLOADS, CACHED_PHOTOS = 64, 128  # in memory, at most 4 and 1 megabytes each
CACHED_ENTRIES = 4096  # some kilobytes each
GONE = "no such photo in this gallery; go back to the start page"
NOT_KEPT = "enrolled through the API, which has not kept its picture; `serve --keep-images` keeps those of new images"
MIN_SIDE = 8  # pixels of a rectangle
KEY = re.compile("(?:g(0|[1-9][0-9]{0,17})|p[0-9a-f]{16})")  # id of an image in the gallery, or hash of an upload


Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class UnknownPhoto(UserError):
    """The key of a photo that never existed, or is no longer kept."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo: (width, height) as stored, and a picture to show."""

    size: tuple[int, int]
    picture: Image.Image


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded photo with its embedding, one row of a `tables.embeddings_table`, and the network's input.

    `box` was cut out of the file.
    """

    name: str
    box: Box | None
    photo: Photo
    embedding: pd.DataFrame
    network_input: VehicleImages


def make_photo(pixels: NDArray[np.uint8], height: int = PICTURE_HEIGHT) -> Photo:
    """Return an image (H, W, 3) as a photo; its picture has `height`."""
    return Photo((pixels.shape[1], pixels.shape[0]), resize_to_height(pixels, height)[0])


def picture_height(pixels: NDArray[np.uint8]) -> int:
    """Return the height of the picture of an upload (H, W, 3): its own, from PICTURE_HEIGHT to UPLOAD_HEIGHT."""
    return min(max(pixels.shape[0], PICTURE_HEIGHT), UPLOAD_HEIGHT)


def cropped(pixels: NDArray[np.uint8], box: Box, name: str) -> NDArray[np.uint8]:
    """Return the pixels of an image (H, W, 3) inside a box. Raises ImageError unless it lies inside the image."""
    left, top, right, bottom = box
    height, width = pixels.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ImageError(f"{name}: the box {left},{top},{right},{bottom} is not inside the photo, {width} x {height}")
    if min(right - left, bottom - top) < MIN_SIDE:
        raise ImageError(f"{name}: the box is {right - left} x {bottom - top}; it needs {MIN_SIDE} x {MIN_SIDE} pixels")
    return np.ascontiguousarray(pixels[top:bottom, left:right])


class Photos:
    """Photos by key: `g12` is the image of the gallery with the id 12, `p` and a hash is an upload.

    The last `KEPT_UPLOADS` are kept. The only files read are those that the gallery names, below `root`, and the
    pictures that it keeps itself. Thread-safe.
    """

    def __init__(self, gallery: Gallery, root: Path) -> None:
        """Serve the images of `gallery` from the folder `root`."""
        self._gallery, self._root = gallery, root
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._lock = Lock()
        self._read = lru_cache(maxsize=CACHED_PHOTOS)(self._read_image)
        self._entry = lru_cache(maxsize=CACHED_ENTRIES)(self._read_entry)

    def add_upload(self, key: str, upload: Upload) -> None:
        """Keep an upload; the least recently used one is dropped."""
        with self._lock:
            self._uploads[key] = upload
            self._uploads.move_to_end(key)
            while len(self._uploads) > KEPT_UPLOADS:
                self._uploads.popitem(last=False)

    def rename_upload(self, key: str, name: str) -> bool:
        """Give an upload another name; return whether it is kept."""
        with self._lock:
            known = key in self._uploads
            if known:
                self._uploads[key] = replace(self._uploads[key], name=name)
            return known

    def upload(self, key: str) -> Upload | None:
        """Return the upload of a key, None for an image of the gallery. Raises UnknownPhoto."""
        return self._upload(key) if self.id(key) is None else None

    def id(self, key: str) -> int | None:
        """Return the id of a key in the gallery, None for an upload. Raises UnknownPhoto for an invalid key."""
        match = KEY.fullmatch(key)
        if match is None:
            raise UnknownPhoto(GONE)
        return None if match[1] is None else int(match[1])

    def embedding(self, key: str) -> pd.DataFrame:
        """Return the embedding of a photo, one row of a `tables.embeddings_table`. Raises UnknownPhoto."""
        number = self.id(key)
        return self._upload(key).embedding if number is None else embeddings_table(self._entry(number))

    def details(self, key: str) -> dict[str, str]:
        """Return the details of an image of the gallery, none of an upload. Raises UnknownPhoto."""
        number = self.id(key)
        if number is None:
            return {}
        details = self._entry(number).details
        return dict(zip(map(str, details.columns), details.iloc[0].tolist(), strict=True))

    def photo(self, key: str) -> Photo:
        """Return a photo. Raises UnknownPhoto, and ImageError if a gallery file cannot be read."""
        number = self.id(key)
        return self._upload(key).photo if number is None else self._read(number)

    def image(self, key: str) -> NDArray[np.uint8]:
        """Return an image of the gallery, (H, W, 3), from its file. Raises as `photo`."""
        number = self.id(key)
        if number is None:
            raise UnknownPhoto("the file of an upload is not kept")
        return load_image(self._file(number))

    def size(self, key: str) -> tuple[int, int]:
        """Return the (width, height) of a photo; reads only the header of a gallery file. Raises as `photo`."""
        number = self.id(key)
        return self._upload(key).photo.size if number is None else image_size(self._file(number))

    def forget_gallery(self) -> None:
        """Read images of the gallery again: some were removed."""
        self._entry.cache_clear()
        self._read.cache_clear()

    def _upload(self, key: str) -> Upload:
        with self._lock:
            if key not in self._uploads:
                raise UnknownPhoto("this upload is no longer kept; choose the file again")
            self._uploads.move_to_end(key)
            return self._uploads[key]

    def _read_entry(self, number: int) -> Entries:
        found = self._gallery.store.snapshot().entries(Filter(ids=(number,)))
        if not len(found):
            raise UnknownPhoto(GONE)
        return found

    def _read_image(self, number: int) -> Photo:
        return make_photo(load_image(self._file(number)))

    def _file(self, number: int) -> Path:
        """Return the file of an image of the gallery. Raises UnknownPhoto, and ImageError if there can be none."""
        entry = self._entry(number)
        (name,) = entry.names
        if ENROLLED_BY not in entry.columns or not entry.details[ENROLLED_BY].iloc[0]:
            return path_inside(self._root, name)
        kept = None if self._gallery.pictures is None else self._gallery.pictures.path(name)
        if kept is None or not kept.is_file():
            raise ImageError(f"{name}: {NOT_KEPT}")
        return kept
