"""Safe reading of .npy part masks: no unpickling, no allocation larger than the file."""

import io
import math
import stat
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from data_cache.base.errors import UserError

GRID = 14  # cells, rows and columns
LARGEST_FILE = 16 * 2**20  # bytes: 10,000 masks of 8-byte numbers
_HEADERS: dict[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# what numpy's header reader raises for garbage; MemoryError and RecursionError for deep nesting
_HEADER_ERRORS = (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)


class MaskError(UserError):
    """A mask file that cannot be used; the message has the file and the reason."""


def mask_bytes(path: Path) -> bytes:
    """Return the content of a mask file. Raises MaskError if it is missing, too large, or not a regular file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise MaskError(f"{path}: not a file of at most {LARGEST_FILE // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MaskError(f"{path}: no such mask") from error
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_masks(path: Path, data: bytes) -> NDArray[np.bool_]:
    """Return the masks (N, 14, 14) in `data`, the content of the .npy file `path`.

    Raises MaskError for another shape or type, values other than 0 and 1, and a damaged file.
    """
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
        shape, fortran_order, dtype = _HEADERS[version](stream)
    except _HEADER_ERRORS as error:
        raise MaskError(f"{path}: not a .npy file of masks ({type(error).__name__})") from error
    if dtype.kind not in "biuf":
        raise MaskError(f"{path}: holds {dtype}, not numbers")
    if len(shape) != 3 or shape[1:] != (GRID, GRID):
        raise MaskError(f"{path}: shape {shape}, expected (N, {GRID}, {GRID})")
    content = data[stream.tell() :]
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise MaskError(f"{path}: damaged: {len(content)} bytes for shape {shape}")
    array = np.frombuffer(content, dtype).reshape((-1, GRID, GRID), order="F" if fortran_order else "C")
    if not ((array == 0) | (array == 1)).all():
        raise MaskError(f"{path}: holds values other than 0 and 1")
    return np.asarray(array == 1)
