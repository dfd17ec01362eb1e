"""Arrays of an HDF5 file, read without trust: from that file alone, of the type that is wanted, not beyond its size."""

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# what h5py raises over a file that is none of ours; MemoryError for a shape that no memory holds
FAULTS = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError)
UNPACKED = 64  # bytes of text for a byte of the file; texts are packed
LEAST_LIMIT = 2**24  # bytes of text, whatever the size of the file


def read_numbers(file: h5py.File, name: str, kind: str, size: int) -> NDArray[Any]:
    """Return an array of the type `kind` out of a file of `size` bytes, in which it is stored as it is.

    Raises one of `FAULTS` where it is missing, of another type or larger than the file.
    """
    found = _stored(file, name)
    if found.dtype != kind or found.nbytes > size:
        raise ValueError(f"{name} is {found.dtype} {found.shape} in a file of {size} bytes")
    return np.asarray(found[()])


def read_texts(file: h5py.File, name: str, size: int) -> tuple[str, ...]:
    """Return texts of a fixed length, which may be packed, out of a file of `size` bytes.

    Raises one of `FAULTS` where they are missing, something else, or much larger than the file.
    """
    found = _stored(file, name)
    text = h5py.check_string_dtype(found.dtype)
    # of a variable length they could be one and the same piece of the file, a million times
    if text is None or text.length is None or found.ndim != 1 or found.nbytes > LEAST_LIMIT + UNPACKED * size:
        raise ValueError(f"{name} is {found.dtype} {found.shape} in a file of {size} bytes")
    return tuple(found.asstr()[:])


def _stored(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that lies in the file itself: HDF5 would follow a link, or raw data, into any other file."""
    found = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise ValueError(f"{name} is no array in the file itself")
    return found
