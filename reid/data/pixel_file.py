"""Images decoded once, at training size: a file of pixels that is mapped into memory and verified when it is opened.

It is a safetensors file, so nothing in it can run: a JSON header, then `pixels` (N, S, S, 3) uint8, row i of the i-th
name. The header tells what the pixels were made from, and the SHA-256 of every ROWS rows.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import open_regular
from data_cache.base.progress import track
from data_cache.parts.cache import require_fingerprint

ROWS = 64  # images under one hash, and in one piece of a worker's: 10 MB at 224 pixels
MAX_HEADER = 100_000_000  # bytes, the limit of safetensors too: enough for a million images
REMEDY = "`train --decoded-cache` makes it again"
LENGTH = struct.Struct("<Q")
_NOT_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)
Version = tuple[int, int, int]


def decoded_path(runs: Path, dataset: str, size: int) -> Path:
    """Return where the decoded training images of a data set lie."""
    return runs / dataset / f"decoded-{size}.safetensors"


def file_version(path: Path) -> Version | None:
    """Return what tells a file from another one put in its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class MappedPixels:
    """Pixels (N, S, S, 3) uint8 of a file, mapped read-only.

    A forked process shares the mapping. A pickled copy carries where they lie, not the pixels, and maps them again.
    """

    def __init__(self, path: Path, start: int, shape: tuple[int, ...]) -> None:
        """Keep where the pixels lie: from byte `start` of the file that is at `path` now."""
        self.path, self.start, self.shape, self.version = path, start, shape, file_version(path)
        self._mapped: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}

    def rows(self) -> NDArray[np.uint8]:
        """Return all pixels, unread. Raises UserError where another file has taken the place of the verified one."""
        if self._mapped is None:
            if file_version(self.path) != self.version:
                raise UserError(f"{self.path}: another run has made it anew while this one used it; run this one again")
            self._mapped = np.asarray(np.memmap(self.path, np.uint8, "r", self.start, self.shape))
        return self._mapped


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """Some images of a file of pixels; called with a number it gives that image."""

    pixels: MappedPixels
    row: NDArray[np.int64]  # (n,) of each image

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """Return the image, (S, S, 3) uint8, read-only. Raises UserError where the file has been replaced."""
        image: NDArray[np.uint8] = self.pixels.rows()[self.row[index]]
        return image


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """A verified file of pixels and the sorted names of its rows."""

    names: Sequence[str]
    pixels: MappedPixels

    def of(self, names: Sequence[str]) -> DecodedRows:
        """Return the named images, numbered as in `names`. Raises UserError for a name that is not there."""
        place = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise UserError(f"{self.pixels.path}: {len(missing)} images are not in it, first {missing[0]}; {REMEDY}")
        return DecodedRows(self.pixels, np.array([place[name] for name in names], dtype=np.int64))


def open_decoded(path: Path, made_from: Mapping[str, Any], *, threads: int = 1) -> DecodedImages:
    """Open the file of pixels at `path`, after verifying all of it on so many threads.

    `made_from` tells what this run needs: `images` (name to size and time of its file), `size`, and what else decides
    the pixels. Raises UserError, with the difference, where the file was made from something else, and where it is
    missing or damaged.
    """
    found, digests, start = _read_header(path)
    require_fingerprint(found, made_from, path, REMEDY)
    shape = shape_of(made_from)
    length = start + math.prod(shape)
    if path.stat().st_size != length:
        raise UserError(f"{path}: damaged, {path.stat().st_size:,} bytes where {length:,} belong; {REMEDY}")
    images = DecodedImages(sorted(made_from["images"]), MappedPixels(path, start, shape))
    _verify(images, digests, threads)
    return images


def shape_of(made_from: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the pixels, (N, S, S, 3)."""
    return len(made_from["images"]), made_from["size"], made_from["size"], 3


def header_of(made_from: Mapping[str, Any], digests: Sequence[str]) -> bytes:
    """Return what stands before the pixels; its length depends on how many digests there are, not on what they say.

    Raises UserError where there are too many images.
    """
    entries = {"made_from": json.dumps(made_from), "sha256_of_rows": json.dumps(list(digests))}
    shape = shape_of(made_from)
    pixels = {"dtype": "U8", "shape": shape, "data_offsets": (0, math.prod(shape))}
    text = json.dumps({"__metadata__": entries, "pixels": pixels}).encode()
    if len(text) > MAX_HEADER:
        raise UserError(f"{shape[0]:,} images are too many for one file of decoded images; leave --decoded-cache out")
    return LENGTH.pack(len(text)) + text


def digest_of(rows: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of some rows of pixels as 64 hexadecimal digits."""
    return hashlib.sha256(rows.reshape(-1).data).hexdigest()


def _read_header(path: Path) -> tuple[dict[str, Any], list[str], int]:
    """Return what the pixels were made from, the digests of their rows, and where they begin."""
    try:
        with open_regular(path) as file:
            (length,) = LENGTH.unpack(file.read(LENGTH.size))
            if length > MAX_HEADER:  # damage must not make us read gigabytes
                raise ValueError(f"a header of {length:,} bytes")
            text = file.read(length)
        entries = json.loads(text)["__metadata__"]
        made_from, digests = json.loads(entries["made_from"]), json.loads(entries["sha256_of_rows"])
        whole = len(digests) == -(-len(made_from["images"]) // ROWS)
        if not whole or header_of(made_from, digests) != LENGTH.pack(length) + text:
            raise ValueError("its header has changed")
        return made_from, digests, LENGTH.size + length
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {REMEDY}") from error
    except _NOT_OURS as error:
        raise UserError(f"{path}: damaged, or not a file of decoded images ({error}); {REMEDY}") from error


def _verify(images: DecodedImages, digests: Sequence[str], threads: int) -> None:
    """Compare the hash of every block of rows; hashing lets other threads run, so that they share the work."""
    names, rows = images.names, images.pixels.rows()
    blocks = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)]
    with ThreadPoolExecutor(threads) as pool:
        found = zip(blocks, pool.map(digest_of, blocks), digests, strict=True)
        told = track(found, "verifying decoded images", len(rows), lambda block: len(block[0]))
        for number, (block, digest, wanted) in enumerate(told):
            if digest != wanted:
                first = number * ROWS
                raise UserError(
                    f"{images.pixels.path}: damaged, the pixels of {names[first]} to {names[first + len(block) - 1]} "
                    f"have changed; {REMEDY}"
                )
