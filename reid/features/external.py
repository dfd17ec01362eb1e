"""Features of another system, to be scored under our protocols: read, matched with our names, brought to length 1.

Two forms are read, .npz and .safetensors (docs/features.md). Nothing in such a file can run, and nothing is allocated
on its word alone: what an array's header claims must be what the archive holds, and no more than a limit.
"""

import json
import logging
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

from data_cache.base.errors import UserError
from data_cache.base.files import is_there, sha256_of_file
from data_cache.base.tensors import ENTRY
from reid.features.file import Features, read_features

log = logging.getLogger(__name__)

LEAST_LIMIT = 2**28  # bytes: a test of few images may be given the features of a whole data set
ROWS = 4096  # brought to length 1 at once
Rows = NDArray[np.int64]
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


def read_given_features(path: Path, names: Sequence[str]) -> Features:
    """Read the features of the images `names` from another system's .npz or .safetensors, or from a file of ours.

    The rows come in the order of `names`, brought to length 1 here; a file of ours is verified, and its rows are taken
    as they are. What else the file holds is left out; `attention` is (N, 0). Raises UserError where the file is
    damaged, too large or of another form, names an image twice or misses one, or where a row is zero or not finite.
    """
    kind, limit = path.suffix.lower(), max(LEAST_LIMIT, len(names) * MOST_CHANNELS * 8)
    _require_file(path, kind, limit)
    provenance: dict[str, Any] = {"file": path.name, "sha256": sha256_of_file(path)}
    if kind == SAFETENSORS and is_ours(path):
        own = read_features(path, "copy it again, or run `python cli.py evaluate` again where it was made")
        provenance["provenance"] = dict(own.provenance)
        matrix = own.matrix[_rows(path, own.names, names)]
    else:
        given, features = read_npz(path, limit) if kind == NPZ else read_safetensors(path)
        matrix = _unit_rows(path, names, features, _rows(path, given, names))
    log.info(f"{path}: features of {len(names):,} images, {matrix.shape[1]:,} channels, each of length 1")
    return Features(tuple(names), matrix, np.zeros((len(names), 0), np.float32), provenance)


def _require_file(path: Path, kind: str, limit: int) -> None:
    if not is_there(path):
        raise UserError(f"{path}: no such file")
    if not path.is_file() or kind not in (NPZ, SAFETENSORS):
        raise UserError(f"{path}: features are read from a file {NPZ} or {SAFETENSORS}; {FORM}")
    require_size(path, path.stat().st_size, limit)


def _rows(path: Path, given: Sequence[str], names: Sequence[str]) -> Rows:
    """Return the row of each of `names`. Raises UserError where one is doubled in the file or misses."""
    place = {name: row for row, name in enumerate(given)}
    if len(place) < len(given):
        first = next(name for row, name in enumerate(given) if place[name] != row)
        raise UserError(f"{path}: {first!r} is named more than once ({len(given) - len(place)} rows too many)")
    missing = [name for name in names if name not in place]
    if missing:
        count = f"{len(missing):,} of {len(names):,} images have no feature, first {missing[0]}"
        raise UserError(f"{path}: {count}; {_why_missing(missing, given)}")
    return np.fromiter((place[name] for name in names), dtype=np.int64, count=len(names))


def _why_missing(missing: Sequence[str], given: Sequence[str]) -> str:
    by_file = {_file_name(name): name for name in given}
    alike = [name for name in missing if _file_name(name) in by_file]
    if not alike:
        return f"the file names {len(given):,} images" + (f", first {given[0]!r}" if given else "")
    return (
        f"{len(alike):,} of them are there by file name alone, {by_file[_file_name(alike[0])]!r} for {alike[0]}: write "
        "each as its path below the data set's root"
    )


def _file_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _unit_rows(path: Path, names: Sequence[str], features: NDArray[Any], rows: Rows) -> NDArray[np.float32]:
    """Return those rows of the features, divided by their length, (M, C); in float64, some rows at a time."""
    matrix = np.empty((len(rows), features.shape[1]), np.float32)
    largest = np.empty((len(rows), 1))
    with np.errstate(invalid="ignore", divide="ignore"):  # refused below
        for start in range(0, len(rows), ROWS):
            some = slice(start, start + ROWS)
            values = features[rows[some]].astype(np.float64)
            largest[some] = np.abs(values).max(axis=1, keepdims=True)
            values /= largest[some]  # the square of a finite value may not be finite
            matrix[some] = values / np.linalg.norm(values, axis=1, keepdims=True)
    for fault, wrong in (("is not finite", ~np.isfinite(largest[:, 0])), ("is zero", largest[:, 0] == 0)):
        if wrong.any():
            raise UserError(
                f"{path}: {names[int(wrong.argmax())]}: its feature {fault} ({int(wrong.sum())} such images)"
            )
    return matrix
