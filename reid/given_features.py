"""Features of another system, to be scored under our protocols: read, matched with our names, brought to length 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.errors import UserError
from data_cache.files import is_there, sha256_of_file
from data_cache.progress import say
from reid.features_file import Features, read_features
from reid.given_files import FORM, MOST_CHANNELS, NPZ, SAFETENSORS, is_ours, read_npz, read_safetensors, require_size

LEAST_LIMIT = 2**28  # bytes: a test of few images may be given the features of a whole data set
ROWS = 4096  # brought to length 1 at once
Rows = NDArray[np.int64]


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
    say(f"{path}: features of {len(names):,} images, {matrix.shape[1]:,} channels, each of length 1")
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
