"""The photos of the page by key: images of the gallery, read from disk, and uploads, kept in memory."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import image_size, load_image, path_inside
from reid.data.vehicle_images import resized
from reid.report.thumbnails import resize_to_height
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.tables import embeddings_table

PICTURE_HEIGHT = 360  # pixels; shown smaller, which stays sharp on high-resolution screens
KEPT_UPLOADS, CACHED_PHOTOS = 64, 128  # in memory, at most a megabyte each
KEY = re.compile("(?:g(0|[1-9][0-9]{0,9})|p[0-9a-f]{16})")  # row of the gallery, or hash of an upload


class UnknownPhoto(UserError):
    """The key of a photo that never existed, or is no longer kept."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo: (width, height) as stored, a picture to show, and the network's input (S, S, 3) uint8."""

    size: tuple[int, int]
    picture: Image.Image
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded photo with its embedding, one row of a `tables.embeddings_table`."""

    photo: Photo
    embedding: pd.DataFrame


def make_photo(pixels: NDArray[np.uint8], size: int) -> Photo:
    """Return an image (H, W, 3) as a photo for a network with inputs of `size` x `size`."""
    return Photo((pixels.shape[1], pixels.shape[0]), resize_to_height(pixels, PICTURE_HEIGHT)[0], resized(pixels, size))


class Photos:
    """Photos by key: `g12` is row 12 of the gallery, `p` and a hash is an upload; the last `KEPT_UPLOADS` are kept.

    The only files read are those that the gallery names, below `root`. Thread-safe.
    """

    def __init__(self, entries: Entries, root: Path, size: int) -> None:
        """Serve the images of `entries` from the folder `root`; `size` is the side of the network's input."""
        self.entries, self._root, self._size = entries, root, size
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._lock = Lock()
        self._read = lru_cache(maxsize=CACHED_PHOTOS)(self._read_row)

    def add_upload(self, key: str, upload: Upload) -> None:
        """Keep an upload; the least recently used one is dropped."""
        with self._lock:
            self._uploads[key] = upload
            self._uploads.move_to_end(key)
            while len(self._uploads) > KEPT_UPLOADS:
                self._uploads.popitem(last=False)

    def has_upload(self, key: str) -> bool:
        """Return whether an upload is kept."""
        with self._lock:
            return key in self._uploads

    def row(self, key: str) -> int | None:
        """Return the gallery row of a key, None for an upload. Raises UnknownPhoto for an invalid key."""
        match = KEY.fullmatch(key)
        if match is None or (match[1] and int(match[1]) >= len(self.entries)):
            raise UnknownPhoto("no such photo in this gallery; go back to the start page")
        return None if match[1] is None else int(match[1])

    def embedding(self, key: str) -> pd.DataFrame:
        """Return the embedding of a photo, one row of a `tables.embeddings_table`. Raises UnknownPhoto."""
        row = self.row(key)
        return self._upload(key).embedding if row is None else embeddings_table(self.entries.take(np.array([row])))

    def photo(self, key: str) -> Photo:
        """Return a photo. Raises UnknownPhoto, and ImageError if a gallery file cannot be read."""
        row = self.row(key)
        return self._upload(key).photo if row is None else self._read(row)

    def size(self, key: str) -> tuple[int, int]:
        """Return the (width, height) of a photo; reads only the header of a gallery file. Raises as `photo`."""
        row = self.row(key)
        return self._upload(key).photo.size if row is None else image_size(self._path(row))

    def _upload(self, key: str) -> Upload:
        with self._lock:
            if key not in self._uploads:
                raise UnknownPhoto("this upload is no longer kept; choose the file again")
            self._uploads.move_to_end(key)
            return self._uploads[key]

    def _path(self, row: int) -> Path:
        return path_inside(self._root, self.entries.names[row])

    def _read_row(self, row: int) -> Photo:
        return make_photo(load_image(self._path(row)), self._size)
