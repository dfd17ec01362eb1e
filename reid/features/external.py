"""Features from another system: read from .npz or .safetensors, matched by image name, normalised to length 1.

The format is described in docs/features.md. The files are untrusted: nothing in them is executed, and the size of an
archive member is limited before it is unpacked.
"""

import json
import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sha256_of_file
from data_cache.base.npy import read_array
from data_cache.base.tensors import ENTRY, LOAD_ERRORS
from reid.features.file import Features, read_features

log = logging.getLogger(__name__)

MIN_LIMIT = 2**28  # bytes: a test of few images may be scored from the features of a whole data set
MAX_CHANNELS = 16384
MAX_NAMES = 2**22  # ten times the largest data set; as Python strings names take more memory than in the file
ROWS = 4096  # normalised at once
NPZ, SAFETENSORS = ".npz", ".safetensors"
FORMAT = "docs/features.md shows how to write one"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's; other decoders may take gigabytes themselves


def read_external_features(path: Path, names: Sequence[str]) -> Features:
    """Read the features of the images `names` from another system's .npz or .safetensors, or from our own file.

    Rows are returned in the order of `names`, normalised to length 1; those of our own file are verified and unchanged.
    Other rows in the file are ignored; `attention` is (N, 0). Raises UserError if the file is damaged, too large or of
    another format, if a name is duplicated or missing, or if a row is zero or not finite.
    """
    kind, limit = path.suffix.lower(), max(MIN_LIMIT, len(names) * MAX_CHANNELS * 8)
    _require_file(path, kind, limit)
    provenance: dict[str, Any] = {"file": path.name, "sha256": sha256_of_file(path)}
    if kind == SAFETENSORS and _is_ours(path):
        own = read_features(path, "copy it again, or run `evaluate` again where it was made")
        provenance["provenance"] = dict(own.provenance)
        matrix = own.matrix[_rows(path, own.names, names)]
    else:
        with _faults_as_user_error(path):
            file_names, features = _read_npz(path, limit) if kind == NPZ else _read_safetensors(path)
        _require_features(path, features, len(file_names))
        matrix = _unit_rows(path, names, features, _rows(path, file_names, names))
    log.info(f"{path}: features of {len(names):,} images, {matrix.shape[1]:,} channels, each of length 1")
    return Features(tuple(names), matrix, np.zeros((len(names), 0), np.float32), provenance)


def _require_file(path: Path, kind: str, limit: int) -> None:
    if not path_exists(path):
        raise UserError(f"{path}: no such file")
    if not path.is_file() or kind not in (NPZ, SAFETENSORS):
        raise UserError(f"{path}: features are read from a {NPZ} or {SAFETENSORS} file; {FORMAT}")
    _require_size(path, path.stat().st_size, limit)


def _require_size(path: Path, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(
            f"{path}: {size:,} bytes exceed the limit of {limit:,} for these images; remove rows that are not scored, "
            f"and write at most {MAX_CHANNELS:,} channels"
        )


@contextmanager
def _faults_as_user_error(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged or foreign file into a UserError of one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, zlib.error, *LOAD_ERRORS) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path}: damaged, or of another format ({reason}); {FORMAT}") from error


def _is_ours(path: Path) -> bool:
    """Return whether a safetensors file is one of this system, with a hash of its content."""
    with _faults_as_user_error(path), safe_open(path, "numpy") as file:
        return ENTRY in (file.metadata() or {})


def _read_npz(path: Path, limit: int) -> tuple[Sequence[str], NDArray[Any]]:
    """Return names (N,) and features from the arrays of np.savez, of at most `limit` bytes each."""
    with zipfile.ZipFile(path) as archive:
        names, features = (_read_member(path, archive, name, limit) for name in ("names", "features"))
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) > MAX_NAMES:
        raise UserError(
            f"{path}: names is {names.dtype.name} {names.shape}, expected text (N,) with N up to {MAX_NAMES:,}; "
            "write np.array(names, dtype=str)"
        )
    return names.tolist(), features


def _read_member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> NDArray[Any]:
    if f"{name}.npy" not in archive.namelist():
        raise UserError(f"{path}: has no array `{name}`; {FORMAT}")
    member = archive.getinfo(f"{name}.npy")
    _require_size(path, member.file_size, limit)
    if member.compress_type not in _COMPRESSIONS:
        raise UserError(f"{path}: uses a compression that numpy does not; {FORMAT}")
    with archive.open(member) as file:
        return read_array(file)


def _read_safetensors(path: Path) -> tuple[Sequence[str], NDArray[Any]]:
    """Return names (N,) from the metadata and the tensor `features`."""
    with safe_open(path, "numpy") as file:
        names = json.loads((file.metadata() or {}).get("names", "null"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: has no JSON list `names` in its metadata; {FORMAT}")
        if "features" not in set(file.keys()):
            raise UserError(f"{path}: has no tensor `features`; {FORMAT}")
        return names, file.get_tensor("features")


def _require_features(path: Path, features: NDArray[Any], count: int) -> None:
    if (
        features.dtype.kind != "f"
        or features.ndim != 2
        or len(features) != count
        or not 0 < features.shape[1] <= MAX_CHANNELS
    ):
        raise UserError(
            f"{path}: features is {features.dtype.name} {features.shape}, expected floating-point ({count}, C), a row "
            f"per name, with C from 1 to {MAX_CHANNELS:,}; {FORMAT}"
        )


def _rows(path: Path, file_names: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the row of each of `names`. Raises UserError if a name in the file is duplicated, or one is missing."""
    row_of = {name: row for row, name in enumerate(file_names)}
    if len(row_of) < len(file_names):
        first = next(name for row, name in enumerate(file_names) if row_of[name] != row)
        raise UserError(
            f"{path}: {first!r} is named more than once ({len(file_names) - len(row_of)} duplicates in all)"
        )
    missing = [name for name in names if name not in row_of]
    if missing:
        count = f"{len(missing):,} of {len(names):,} images have no feature, first {missing[0]}"
        raise UserError(f"{path}: {count}; {_why_missing(missing, file_names)}")
    return np.array([row_of[name] for name in names], dtype=np.int64)


def _why_missing(missing: Sequence[str], file_names: Sequence[str]) -> str:
    by_base_name = {_base_name(name): name for name in file_names}
    matches = [name for name in missing if _base_name(name) in by_base_name]
    if not matches:
        return f"the file names {len(file_names):,} images" + (f", first {file_names[0]!r}" if file_names else "")
    return (
        f"{len(matches):,} of them match by file name only, {by_base_name[_base_name(matches[0])]!r} for {matches[0]}: "
        "write each as its path below the data set's root"
    )


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _unit_rows(
    path: Path, names: Sequence[str], features: NDArray[Any], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return those rows of the features divided by their length, (M, C); computed in float64, `ROWS` at a time."""
    matrix = np.empty((len(rows), features.shape[1]), np.float32)
    largest = np.empty((len(rows), 1))
    with np.errstate(invalid="ignore", divide="ignore"):  # refused below
        for start in range(0, len(rows), ROWS):
            some = slice(start, start + ROWS)
            values = features[rows[some]].astype(np.float64)
            largest[some] = np.abs(values).max(axis=1, keepdims=True)
            values /= largest[some]  # the square of a large finite value may not be finite
            matrix[some] = values / np.linalg.norm(values, axis=1, keepdims=True)
    for fault, wrong in (("is not finite", ~np.isfinite(largest[:, 0])), ("is zero", largest[:, 0] == 0)):
        if wrong.any():
            raise UserError(
                f"{path}: {names[int(wrong.argmax())]}: its feature {fault} ({int(wrong.sum())} such images)"
            )
    return matrix
