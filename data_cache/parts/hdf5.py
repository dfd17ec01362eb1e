"""Reading of arrays from untrusted HDF5 files: in the file itself, of the expected type, no larger than the file."""

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# what h5py raises for foreign files; MemoryError for impossible shapes
HDF5_ERRORS = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError)
MAX_COMPRESSION = 64  # bytes of text per byte of the file; strings are compressed
MIN_TEXT_LIMIT = 2**24  # bytes of text that are always accepted


def read_array(file: h5py.File, name: str, kind: str, file_size: int) -> NDArray[Any]:
    """Return an uncompressed array of type `kind` from a file of `file_size` bytes.

    Raises one of HDF5_ERRORS if it is missing, of another type or larger than the file.
    """
    dataset = _dataset(file, name)
    if dataset.dtype != kind or dataset.nbytes > file_size:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape} in a file of {file_size} bytes")
    return np.asarray(dataset[()])


def read_strings(file: h5py.File, name: str, file_size: int) -> tuple[str, ...]:
    """Return fixed-length strings, which may be compressed, from a file of `file_size` bytes.

    Raises one of HDF5_ERRORS if they are missing, of another type, or much larger than the file.
    """
    dataset = _dataset(file, name)
    text = h5py.check_string_dtype(dataset.dtype)
    limit = MIN_TEXT_LIMIT + MAX_COMPRESSION * file_size
    # variable-length strings could all refer to the same bytes, a million times
    if text is None or text.length is None or dataset.ndim != 1 or dataset.nbytes > limit:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape} in a file of {file_size} bytes")
    return tuple(dataset.asstr()[:])


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset stored in the file itself: HDF5 would follow links and external data into any other file."""
    dataset = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} is not an array in the file itself")
    return dataset
