"""The feature file: a unit vector and the attention over the parts for each image, in one safetensors file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError, short_repr
from data_cache.base.options import remedy_command
from data_cache.base.tensors import load_tensors, save_tensors

SCHEMA = 1
MOST_NAME_BYTES = 99_000_000  # of all names as JSON: they are in the file's header, which is limited to 100 million
LENGTH_TOLERANCE = 1e-3
COLLAPSED_VARIANCE = 1e-6  # of unit vectors, summed over the channels: all images within about 0.001 of their mean


@dataclass(frozen=True)
class Features:
    """Features of N images.

    names (N,) unique; matrix (N, C) float32, rows of length 1; attention (N, D) float32, the weight of each part slot
    (the D most confident boxes of the part cache, in its order), 0 for an empty slot; D may be 0. `provenance` is JSON.
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float32]
    attention: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Raise UserError, naming the first image at fault, if the contract above is broken."""
        count = len(self.names)
        for name, array in (("matrix", self.matrix), ("attention", self.attention)):
            if array.ndim != 2 or len(array) != count or array.dtype != np.float32:
                raise UserError(f"features: {name} is {array.dtype} {array.shape}, expected float32 ({count}, ...)")
        if not count or not self.matrix.shape[1]:
            raise UserError("features: there are none")
        if len(self._row_of) != count:
            raise UserError("features: an image is named twice")
        length = np.linalg.norm(self.matrix, axis=1)
        weights_in_range = (self.attention >= 0) & (self.attention <= 1 + LENGTH_TOLERANCE)
        for reason, wrong in (
            ("feature is not finite", ~np.isfinite(self.matrix).all(axis=1)),
            ("feature does not have length 1", np.abs(length - 1) > LENGTH_TOLERANCE),
            ("attention weight is not in [0, 1]", ~weights_in_range.all(axis=1)),
        ):
            if wrong.any():
                first = self.names[int(wrong.argmax())]
                raise UserError(f"features: {first}: {reason} ({int(wrong.sum())} of {count} images)")

    def rows(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the row of each name, (M,). Raises UserError if any is missing."""
        names = list(names)
        missing = [name for name in names if name not in self._row_of]
        if missing:
            raise UserError(
                f"features: {len(missing)} of {len(names)} images have none, first {missing[0]}; "
                f"run {remedy_command('evaluate')} again"
            )
        return np.array([self._row_of[name] for name in names], dtype=np.int64)

    def of(self, names: Iterable[str]) -> NDArray[np.float32]:
        """Return the features of the named images, (M, C). Raises UserError if any is missing."""
        return self.matrix[self.rows(names)]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}


def require_names_fit(path: Path, names: Sequence[str]) -> None:
    """Raise UserError if a feature file cannot hold so many names; checked before hours of extraction."""
    size = len(json.dumps(json.dumps(list(names))))  # twice: safetensors stores metadata as text
    if size > MOST_NAME_BYTES:
        most = len(names) * MOST_NAME_BYTES // size
        raise UserError(
            f"{path}: a feature file holds the names of about {most:,} such images, not of {len(names):,}; "
            "split the list into several data sets"
        )


def require_spread(matrix: NDArray[np.float32]) -> None:
    """Raise UserError if all rows of `matrix` (N, C), unit vectors, are nearly equal: the network has collapsed."""
    mean = matrix.mean(axis=0, dtype=np.float64)
    variance = 1.0 - float(mean @ mean)
    if len(matrix) > 1 and variance < COLLAPSED_VARIANCE:
        raise UserError(
            f"the features have collapsed: {len(matrix)} images share one feature (variance {variance:.1e}); "
            "train again with a smaller learning rate"
        )


def write_features(path: Path, features: Features) -> None:
    """Write the feature file atomically; the same features give the same bytes."""
    import torch

    arrays = {"features": features.matrix, "attention": features.attention}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    save_tensors(path, tensors, {"schema": SCHEMA, "names": features.names, "provenance": features.provenance})


def read_features(path: Path, remedy: str | None = None) -> Features:
    """Read a feature file. Raises UserError, ending with `remedy`, if it is missing, damaged or of another schema.

    The default remedy is to extract it again.
    """
    remedy = remedy or f"delete it and run {remedy_command('evaluate')} again"
    tensors, contents, _ = load_tensors(path, remedy)
    if contents.get("schema") != SCHEMA:
        raise UserError(
            f"{path}: has schema {short_repr(contents.get('schema'))}, this version reads {SCHEMA}; {remedy}"
        )
    try:
        arrays = tensors["features"].numpy(), tensors["attention"].numpy()
        return Features(tuple(contents["names"]), *arrays, dict(contents["provenance"]))
    except (UserError, LookupError, TypeError, ValueError) as error:  # written elsewhere, with a valid hash
        raise UserError(f"{path}: holds no features ({error}); {remedy}") from error
