"""Arrays and part masks from untrusted .npy data: nothing is unpickled."""

import io
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import read_regular
from data_cache.base.tensors import LOAD_ERRORS

GRID = 14  # cells, rows and columns
LARGEST_FILE = 16 * 2**20  # bytes: 10,000 masks of 8-byte numbers


class MaskError(UserError):
    """A mask file that cannot be used; the message has the file and the reason."""


def read_array(file: IO[bytes]) -> NDArray[Any]:
    """Return the array in `file`, which must end with it. Raises ValueError with a short line for anything else.

    numpy allocates the size that the header claims, but touches only as much memory as the file has content.
    """
    try:
        array = np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
    except (*LOAD_ERRORS, SyntaxError, TokenError) as error:
        raise ValueError((str(error) or type(error).__name__).splitlines()[0][:100]) from error
    if file.read(1):
        raise ValueError("more bytes than its shape needs")
    return np.asarray(array)


def mask_bytes(path: Path) -> bytes:
    """Return the content of a mask file. Raises MaskError if it is missing, too large, or not a regular file."""
    try:
        data = read_regular(path, LARGEST_FILE + 1)
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > LARGEST_FILE:
        raise MaskError(f"{path}: larger than {LARGEST_FILE // 2**20} MiB")
    return data


def read_masks(path: Path, data: bytes) -> NDArray[np.bool_]:
    """Return the masks (N, 14, 14) in `data`, the content of the .npy file `path`.

    Raises MaskError for another shape or type, values other than 0 and 1, and a damaged file.
    """
    try:
        array = read_array(io.BytesIO(data))
    except ValueError as error:
        raise MaskError(f"{path}: not a .npy file of masks ({error})") from error
    if array.dtype.kind not in "biuf" or array.ndim != 3 or array.shape[1:] != (GRID, GRID):
        raise MaskError(f"{path}: {array.dtype} {array.shape}, expected numbers (N, {GRID}, {GRID})")
    if not ((array == 0) | (array == 1)).all():
        raise MaskError(f"{path}: holds values other than 0 and 1")
    return np.asarray(array == 1)
