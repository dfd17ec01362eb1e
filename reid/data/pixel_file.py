"""A file of equally large images as raw pixels, mapped into memory and verified when it is opened.

It is a safetensors file, so nothing in it can run: a JSON header, then `pixels` (N, H, W, 3) uint8, row i being the
i-th name in sorted order. The header says what the pixels were made from and holds a SHA-256 for every ROWS rows.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import open_regular
from data_cache.base.progress import track
from data_cache.parts.fingerprints import require_fingerprint

ROWS = 64  # images per hash, and per piece of work of a process: 10 MB at 224 pixels
MAX_HEADER = 100_000_000  # bytes, also the limit of safetensors; enough for a million images
REMEDY = "`train --decoded-cache` makes it again"
LENGTH = struct.Struct("<Q")
Size = int | Sequence[int]  # the side of a square, or height and width, in pixels
_NOT_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)


class PixelFile:
    """A verified file: `names` (N), and `pixels` (N, H, W, 3) uint8, mapped read-only.

    A forked process shares the mapping. A pickled copy carries no pixels; it maps the file again.
    """

    def __init__(self, path: Path, names: Sequence[str], start: int, shape: tuple[int, ...]) -> None:
        """Refer to the file that is at `path` now; its pixels begin at byte `start`."""
        self.path, self.names, self.start, self.shape = path, names, start, shape
        self._version = _version(path)
        self._mapped: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All pixels, read when they are used. Raises UserError if the verified file was replaced before mapping."""
        if self._mapped is None:
            if _version(self.path) != self._version:
                raise UserError(f"{self.path}: replaced by another run while this one used it; run this one again")
            self._mapped = np.asarray(np.memmap(self.path, np.uint8, "r", self.start, self.shape))
        return self._mapped

    def images(self, names: Sequence[str]) -> Callable[[int], NDArray[np.uint8]]:
        """Return a function from an index into `names` to that image, (H, W, 3) uint8, read-only.

        Raises UserError for a name that is not in the file.
        """
        row_of = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in row_of]
        if missing:
            raise UserError(f"{self.path}: {len(missing)} images are not in it, first {missing[0]}; {REMEDY}")
        return partial(self._image, np.array([row_of[name] for name in names], dtype=np.int64))

    def _image(self, rows: NDArray[np.int64], index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.pixels[rows[index]]
        return image


def open_pixels(path: Path, made_from: Mapping[str, Any], *, threads: int = 1) -> PixelFile:
    """Open and verify the file at `path`, hashing on `threads` threads.

    `made_from` is what this run needs: `images` (name to properties of its file), `size`, and all else that determines
    the pixels. Raises UserError if the file is missing or damaged, cannot be read, or was made from something else
    (with the difference).
    """
    try:
        return _open_pixels(path, made_from, threads)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); {REMEDY}") from error


def _open_pixels(path: Path, made_from: Mapping[str, Any], threads: int) -> PixelFile:
    found, digests, start = _read_header(path)
    require_fingerprint(found, made_from, path, REMEDY)
    shape = shape_of(made_from)
    length = start + math.prod(shape)
    if path.stat().st_size != length:
        raise UserError(f"{path}: damaged, {path.stat().st_size:,} bytes instead of {length:,}; {REMEDY}")
    file = PixelFile(path, sorted(made_from["images"]), start, shape)
    _verify(file, digests, threads)
    return file


def shape_of(made_from: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the pixels, (N, H, W, 3)."""
    return len(made_from["images"]), *height_and_width(made_from["size"]), 3


def height_and_width(size: Size) -> tuple[int, int]:
    """Return the height and width of a size.

    >>> height_and_width(128), height_and_width((96, 160))
    ((128, 128), (96, 160))
    """
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def header_of(made_from: Mapping[str, Any], digests: Sequence[str]) -> bytes:
    """Return the bytes before the pixels; their number depends on the number of digests, not on their values.

    Raises UserError if there are too many images.
    """
    entries = {"made_from": json.dumps(made_from), "sha256_of_rows": json.dumps(list(digests))}
    shape = shape_of(made_from)
    pixels = {"dtype": "U8", "shape": shape, "data_offsets": (0, math.prod(shape))}
    text = json.dumps({"__metadata__": entries, "pixels": pixels}).encode()
    if len(text) > MAX_HEADER:
        raise UserError(f"{shape[0]:,} images are too many for one file of decoded images; omit --decoded-cache")
    return LENGTH.pack(len(text)) + text


def digest_of(rows: NDArray[Any]) -> str:
    """Return the SHA-256 of rows of pixels, or of other values, as 64 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(rows).reshape(-1).data).hexdigest()


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return numbers that change when the file is replaced; None if it is missing."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _read_header(path: Path) -> tuple[dict[str, Any], list[str], int]:
    """Return what the pixels were made from, the digests of their rows, and the byte at which they start."""
    try:
        with open_regular(path) as file:
            (length,) = LENGTH.unpack(file.read(LENGTH.size))
            if length > MAX_HEADER:  # a damaged length must not make us read gigabytes
                raise ValueError(f"a header of {length:,} bytes")
            text = file.read(length)
        entries = json.loads(text)["__metadata__"]
        made_from, digests = json.loads(entries["made_from"]), json.loads(entries["sha256_of_rows"])
        complete = len(digests) == -(-len(made_from["images"]) // ROWS)
        if not complete or header_of(made_from, digests) != LENGTH.pack(length) + text:
            raise ValueError("its header has changed")
        return made_from, digests, LENGTH.size + length
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {REMEDY}") from error
    except _NOT_OURS as error:
        raise UserError(f"{path}: damaged, or not a file of decoded images ({error}); {REMEDY}") from error


def _verify(file: PixelFile, digests: Sequence[str], threads: int) -> None:
    """Raise UserError, naming the images, if a block of rows does not have its hash; hashing releases the GIL."""
    blocks = [file.pixels[first : first + ROWS] for first in range(0, len(file.pixels), ROWS)]
    with ThreadPoolExecutor(threads) as pool:
        hashed = zip(blocks, pool.map(digest_of, blocks), digests, strict=True)
        progress = track(hashed, "verifying decoded images", len(file.pixels), lambda block: len(block[0]))
        for number, (block, found, expected) in enumerate(progress):
            if found != expected:
                names = file.names[number * ROWS :][: len(block)]
                raise UserError(f"{file.path}: damaged, the pixels of {names[0]} to {names[-1]} have changed; {REMEDY}")
