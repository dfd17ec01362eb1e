"""Photos that the page shows and asks with: those of the gallery by their row, and those that were uploaded."""

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
from data_cache.images.loading import decode_image, image_size, load_image, path_inside
from reid.data.vehicle_images import resized
from reid.report.tiles import at_height
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.tables import embeddings_table

HEIGHT = 360  # pixels of a picture; the page shows it smaller, which a fine screen has use for
KEPT, READ = 64, 128  # uploaded photos, and photos of the gallery, in memory: a megabyte each at most
KEY = re.compile("(?:g(0|[1-9][0-9]{0,9})|p[0-9a-f]{16})")  # a row of the gallery, or of an upload its hash
UPLOADED = "this photo"  # what messages call it; the page knows its file's name


class Gone(UserError):
    """A photo that is not known, or not any more."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph: its (width, height) as stored, a picture of it, and what the network sees, (S, S, 3) uint8."""

    size: tuple[int, int]
    picture: Image.Image
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded photo, and what the model found in it: a table of one row, as of `tables.embeddings_table`."""

    photo: Photo
    found: pd.DataFrame


def photo_of(pixels: NDArray[np.uint8], size: int) -> Photo:
    """Return an image (H, W, 3) as a photo for a network whose images are `size` pixels square."""
    return Photo((pixels.shape[1], pixels.shape[0]), at_height(pixels, HEIGHT)[0], resized(pixels, size))


def pixels_of_upload(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an uploaded file, (H, W, 3). Raises ImageError decoded as `load_image` does."""
    return decode_image(data, UPLOADED)


class Photos:
    """Photos by key: `g12` is row 12 of the gallery, `p` and a hash an upload, of which the last `KEPT` are kept.

    A file of the gallery is read by the name that the gallery has for its row, below `root`, and by nothing else. May
    be used by several threads at once.
    """

    def __init__(self, entries: Entries, root: Path, size: int) -> None:
        """Keep what is known of the gallery; a network's images are `size` pixels square."""
        self.entries, self._root, self._size = entries, root, size
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._lock = Lock()
        self._read = lru_cache(maxsize=READ)(self._read_row)

    def keep(self, key: str, upload: Upload) -> None:
        """Keep an uploaded photo under its key; the one that was longest not asked for goes."""
        with self._lock:
            self._uploads[key] = upload
            self._uploads.move_to_end(key)
            while len(self._uploads) > KEPT:
                self._uploads.popitem(last=False)

    def has(self, key: str) -> bool:
        """Whether an upload is kept."""
        with self._lock:
            return key in self._uploads

    def row(self, key: str) -> int | None:
        """Return the row of the gallery that a key stands for, None for an upload. Raises Gone for a strange key."""
        told = KEY.fullmatch(key)
        if told is None or (told[1] and int(told[1]) >= len(self.entries)):
            raise Gone("no such photo in this gallery; begin again from the page's start")
        return None if told[1] is None else int(told[1])

    def found(self, key: str) -> pd.DataFrame:
        """Return what the model found in a photo, one row of `tables.embeddings_table`. Raises Gone."""
        row = self.row(key)
        return self._upload(key).found if row is None else embeddings_table(self.entries.take(np.array([row])))

    def photo(self, key: str) -> Photo:
        """Return a photo. Raises Gone, and ImageError where a file of the gallery cannot be read."""
        row = self.row(key)
        return self._upload(key).photo if row is None else self._read(row)

    def size(self, key: str) -> tuple[int, int]:
        """Return the (width, height) of a photo, for which its file's beginning is read. Raises as `photo`."""
        row = self.row(key)
        return self._upload(key).photo.size if row is None else image_size(self._path(row))

    def _upload(self, key: str) -> Upload:
        with self._lock:
            if key not in self._uploads:
                raise Gone("that photo is not kept any more; choose its file again")
            self._uploads.move_to_end(key)
            return self._uploads[key]

    def _path(self, row: int) -> Path:
        return path_inside(self._root, self.entries.names[row])

    def _read_row(self, row: int) -> Photo:
        return photo_of(load_image(self._path(row)), self._size)
