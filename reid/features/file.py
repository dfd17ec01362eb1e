"""The feature file: one unit vector an image, with what the attention gave to each part, in one safetensors file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError, short_repr
from data_cache.base.tensors import load_tensors, save_tensors

SCHEMA = 1
REMEDY = "delete it and run `python cli.py evaluate` again"
MOST_OF_NAMES = 99_000_000  # bytes of all names as JSON: they stand in the file's header, which may have 100 million
LENGTH_TOLERANCE = 1e-3
COLLAPSED_VARIANCE = 1e-6  # of unit vectors, summed over the channels: all images within about 0.001 of their mean


@dataclass(frozen=True)
class Features:
    """Features of N images.

    names (N,) unique; matrix (N, C) float32, rows of length 1; attention (N, D) float32, the weight of each part place
    (the D most confident boxes of the part cache, in its order), 0 where no part is; D may be 0. `provenance` is JSON.
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float32]
    attention: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse what breaks the contract above, naming the first image at fault. Raises UserError."""
        count = len(self.names)
        for name, array in (("matrix", self.matrix), ("attention", self.attention)):
            if array.ndim != 2 or len(array) != count or array.dtype != np.float32:
                raise UserError(f"features: {name} is {array.dtype} {array.shape}, expected float32 ({count}, ...)")
        if not count or not self.matrix.shape[1]:
            raise UserError("features: there are none")
        if len(set(self.names)) != count:
            raise UserError("features: an image is named twice")
        length = np.asarray(np.linalg.norm(self.matrix, axis=1))
        self._refuse("a feature is not finite", np.asarray(~np.isfinite(self.matrix).all(axis=1)))
        self._refuse("a feature has not length 1", np.asarray(np.abs(length - 1) > LENGTH_TOLERANCE))
        self._refuse("an attention weight is not in [0, 1]", ~self._weights_are_sound())

    def _weights_are_sound(self) -> NDArray[np.bool_]:
        return np.asarray(((self.attention >= 0) & (self.attention <= 1 + LENGTH_TOLERANCE)).all(axis=1))

    def _refuse(self, reason: str, wrong: NDArray[np.bool_]) -> None:
        if wrong.any():
            first = self.names[int(wrong.argmax())]
            raise UserError(f"features: {first}: {reason} ({int(wrong.sum())} of {len(wrong)} images)")

    def rows(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each name, (M,). Raises UserError, telling how many and the first, where any is missing."""
        place = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise UserError(
                f"features: {len(missing)} of {len(names)} images have none, first {missing[0]}; "
                "run `python cli.py evaluate` again"
            )
        return np.fromiter((place[name] for name in names), dtype=np.int64, count=len(names))


def require_room(path: Path, names: Sequence[str]) -> None:
    """Raise UserError where a feature file at `path` has no room for that many names: before hours go into it."""
    size = len(json.dumps(json.dumps(list(names))))  # twice: metadata of safetensors are texts
    if size > MOST_OF_NAMES:
        most = len(names) * MOST_OF_NAMES // size
        raise UserError(
            f"{path}: a feature file holds the names of about {most:,} such images, not of {len(names):,}; "
            "cut the list into several data sets"
        )


def require_spread(matrix: NDArray[np.float32]) -> None:
    """Raise UserError where all rows of `matrix` (N, C), unit vectors, are nearly the same: a collapsed network."""
    mean = matrix.mean(axis=0, dtype=np.float64)
    variance = 1.0 - float(mean @ mean)
    if len(matrix) > 1 and variance < COLLAPSED_VARIANCE:
        raise UserError(
            f"the features have collapsed: {len(matrix)} images share one feature (variance {variance:.1e}); "
            "train again, with a smaller learning rate"
        )


def write_features(path: Path, features: Features) -> None:
    """Write the feature file as a whole or not at all; the same features give the same bytes."""
    import torch

    arrays = {"features": features.matrix, "attention": features.attention}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    save_tensors(path, tensors, {"schema": SCHEMA, "names": features.names, "provenance": features.provenance})


def read_features(path: Path, remedy: str = REMEDY) -> Features:
    """Read a feature file.

    Raises UserError, ending with `remedy`, where it is missing, damaged (by one bit, even) or of another schema.
    """
    tensors, contents, _ = load_tensors(path, remedy)
    if contents.get("schema") != SCHEMA:
        raise UserError(
            f"{path}: has schema {short_repr(contents.get('schema'))}, this version reads {SCHEMA}; {remedy}"
        )
    try:
        arrays = tensors["features"].numpy(), tensors["attention"].numpy()
        return Features(tuple(contents["names"]), *arrays, dict(contents["provenance"]))
    except (UserError, LookupError, TypeError, ValueError) as error:  # whoever wrote it, its hash is right
        raise UserError(f"{path}: holds no features ({error}); {remedy}") from error
