"""The two forms in which features of another system come; docs/features.md tells them.

Nothing in such a file can run, and nothing is allocated on its word alone: what an array's header claims must be what
the archive holds, and no more than a limit.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from data_cache.errors import UserError
from data_cache.tensors import ENTRY

NPZ, SAFETENSORS = ".npz", ".safetensors"
MOST_CHANNELS = 16384
MOST_NAMES = 2**22  # ten times those of the largest data set; as text each takes more memory than in the file
TYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}  # safetensors' names and numpy's
FORM = "docs/features.md shows how to write one"
_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, whether column by column, type
_read_magic: Callable[[IO[bytes]], tuple[int, int]] = npy.read_magic  # numpy leaves them untyped
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], _Header]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's; of others the decoder itself may take gigabytes
_FAULTS = (ValueError, TypeError, LookupError, RuntimeError, SyntaxError, MemoryError, EOFError, TokenError, zlib.error)
Given = tuple[Sequence[str], NDArray[Any]]  # names (N,) and features (N, C), as they lie in a file


def require_size(path: Path, size: int, limit: int) -> None:
    """Raise UserError where something in the file takes more bytes than the limit."""
    if size > limit:
        raise UserError(
            f"{path}: {size:,} bytes are more than the {limit:,} that are read for these images; leave out what is not "
            f"scored, and write at most {MOST_CHANNELS:,} channels"
        )


def read_npz(path: Path, limit: int) -> Given:
    """Read the arrays `names` and `features` of np.savez, of at most `limit` bytes each. Raises UserError."""
    with _one_line(path), zipfile.ZipFile(path) as archive:
        names: list[str] = _read_array(path, archive, "names", limit).tolist()
        return names, _read_array(path, archive, "features", limit, len(names))


def read_safetensors(path: Path) -> Given:
    """Read the tensor `features`, and `names` from the metadata. Raises UserError."""
    from safetensors import safe_open

    with _one_line(path), safe_open(path, "numpy") as file:
        names = json.loads((file.metadata() or {}).get("names", "null"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: holds no JSON list `names` in its metadata; {FORM}")
        if "features" not in set(file.keys()):
            raise UserError(f"{path}: holds no tensor `features`; {FORM}")
        there = file.get_slice("features")
        _require_features(path, TYPES.get(there.get_dtype(), there.get_dtype()), there.get_shape(), len(names))
        return names, file.get_tensor("features")


def is_ours(path: Path) -> bool:
    """Whether a safetensors file is one of this system's, with a hash of its content. Raises UserError."""
    from safetensors import safe_open

    with _one_line(path), safe_open(path, "numpy") as file:
        return ENTRY in (file.metadata() or {})


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Raise UserError, one line with the file, for what the libraries raise over a file that is none of theirs."""
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, zipfile.BadZipFile, *_FAULTS) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path}: damaged, or of another form ({reason}); {FORM}") from error


def _read_array(path: Path, archive: zipfile.ZipFile, name: str, limit: int, count: int | None = None) -> NDArray[Any]:
    """Return an array of the archive: text where `count` is None, else features of so many images."""
    member = f"{name}.npy"
    if member not in archive.namelist():
        raise UserError(f"{path}: holds no array `{name}`; {FORM}")
    packed = archive.getinfo(member)
    require_size(path, packed.file_size, limit)
    if packed.compress_type not in _COMPRESSIONS:
        raise UserError(f"{path}: is compressed in a way that numpy does not use; {FORM}")
    with archive.open(packed) as file:
        shape, by_columns, dtype = _HEADERS[_read_magic(file)](file)
        if count is None:
            _require_names(path, dtype, shape)
        else:
            _require_features(path, dtype.name, shape, count)
        length = packed.file_size - file.tell()
        if math.prod(shape) * dtype.itemsize != length:
            raise ValueError(f"the header of {name} claims {shape}, {length:,} bytes follow")
        return np.frombuffer(file.read(length), dtype).reshape(shape, order="F" if by_columns else "C")


def _require_names(path: Path, dtype: np.dtype[Any], shape: Sequence[int]) -> None:
    if dtype.kind != "U" or not dtype.itemsize or len(shape) != 1 or shape[0] > MOST_NAMES:
        raise UserError(
            f"{path}: names is {dtype.name} {tuple(shape)}, not text (N,) with N up to {MOST_NAMES:,}; "
            "write np.array(names, dtype=str)"
        )


def _require_features(path: Path, dtype: str, shape: Sequence[int], count: int) -> None:
    if dtype not in TYPES.values() or len(shape) != 2 or shape[0] != count or not 0 < shape[1] <= MOST_CHANNELS:
        raise UserError(
            f"{path}: features is {dtype} {tuple(shape)}, not float16, float32 or float64 ({count}, C), a row a name, "
            f"with C from 1 to {MOST_CHANNELS:,}; {FORM}"
        )
