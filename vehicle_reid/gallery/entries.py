"""The images of a gallery: for each a name, camera, unit feature vector, part boxes, attention and details as text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError, printable, short_repr
from data_cache.datasets.lists import CONTROL
from reid.features.file import LENGTH_TOLERANCE

ARRAYS = ("ids", "cameras", "features", "boxes", "labels", "attention")
OWN_COLUMNS = ("id", "name", "camera", "feature", "boxes", "labels", "attention", "crc")  # of a stored image
SEARCH_COLUMN = "query_index"  # that LanceDB adds to what it finds for several queries
DETAILS = ("vehicle", "time")  # details that every stored image has; "" if unknown
ENROLLED_BY, API = "enrolled_by", "api"  # a detail of images that came through the API: they are no files of a folder
MOST_COLUMNS = 200  # of details: each is a column of every image
COLUMN = re.compile("[A-Za-z][A-Za-z0-9_]*")  # no leading underscore: LanceDB adds columns such as _distance


@dataclass(frozen=True, eq=False)
class Entries:
    """N images.

    names (N,), unique; ids (N,) int64, ascending: the keys of an index; cameras (N,) int64, -1 if unknown; features
    (N, C) float32 of length 1; boxes (N, D, 4) float32 xyxy in pixels of the image and labels (N, D) int8 of the D most
    confident parts, 0 and -1 in empty slots; attention (N, A) float32 of the D parts, or of the cells of a grid (then
    D is 0). details (N rows) are columns of text, "" if unknown, such as `DETAILS`; times are ISO 8601.
    """

    names: tuple[str, ...]
    ids: NDArray[np.int64]
    cameras: NDArray[np.int64]
    features: NDArray[np.float32]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int8]
    attention: NDArray[np.float32]
    details: pd.DataFrame = field(default_factory=pd.DataFrame, kw_only=True)

    def __post_init__(self) -> None:
        """Raise UserError if the arrays break the contract above."""
        count, slots = self.labels.shape
        shapes = {"ids": (count,), "cameras": (count,), "boxes": (count, slots, 4)}
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        wrong += [name for name in ("features", "attention") if getattr(self, name).shape[:1] != (count,)]
        if wrong or len(self.names) != count or self.features.ndim != 2 or self.attention.ndim != 2:
            raise UserError(f"gallery: the arrays do not fit together ({', '.join(wrong) or 'names'})")
        if len(self._row_of) != count:
            raise UserError("gallery: an image name occurs more than once")
        if (np.diff(self.ids) <= 0).any():
            raise UserError("gallery: the ids are not ascending")
        squared = np.einsum("nc,nc->n", self.features, self.features)  # np.linalg.norm would copy all features
        wrong_length = ~(np.abs(squared - 1) <= 2 * LENGTH_TOLERANCE)  # NaN compares false
        if wrong_length.any():
            raise UserError(f"gallery: {self.names[int(wrong_length.argmax())]}: its feature is not of length 1")
        object.__setattr__(self, "details", _valid_details(self.details, count))

    @classmethod
    def empty(cls, channels: int, top_d: int) -> "Entries":
        """Return the entries of no image."""
        ids = np.zeros(0, np.int64)
        boxes, labels = np.zeros((0, top_d, 4), np.float32), np.zeros((0, top_d), np.int8)
        return cls((), ids, ids, np.zeros((0, channels), np.float32), boxes, labels, np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        """Return N."""
        return len(self.names)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the details."""
        return tuple(str(column) for column in self.details.columns)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def existing(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are present."""
        return [name for name in names if name in self._row_of]

    def rows(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each name, (M,). Raises UserError for a name that is missing."""
        missing = [name for name in names if name not in self._row_of]
        if missing:
            raise UserError(f"gallery: {len(missing)} of {len(names)} names are not in it, first {missing[0]}")
        return np.array([self._row_of[name] for name in names], dtype=np.int64)

    def take(self, rows: NDArray[np.int64]) -> "Entries":
        """Return the images of these rows."""
        names = tuple(self.names[row] for row in rows.tolist())
        return Entries(names, *(getattr(self, name)[rows] for name in ARRAYS), details=self.details.iloc[rows])

    def without(self, names: Sequence[str]) -> "Entries":
        """Return all other images. Raises UserError for a name that is missing."""
        kept = np.ones(len(self), dtype=bool)
        kept[self.rows(names)] = False
        return self.take(np.flatnonzero(kept))

    def followed_by(self, more: "Entries") -> "Entries":
        """Return these images and then `more`; details that only some have are "" for the others."""
        details = pd.concat([self.details, more.details]).fillna("")
        if not len(self) or not len(more):  # empty entries do not know the width of the attention
            return replace(more if len(more) else self, details=details)
        arrays = (np.concatenate([getattr(self, name), getattr(more, name)]) for name in ARRAYS)
        return Entries(self.names + more.names, *arrays, details=details)


def require_columns(columns: Sequence[str]) -> None:
    """Raise UserError unless these names of details are valid, different in any case, few, and not the store's own."""
    invalid = [column for column in columns if not isinstance(column, str) or not COLUMN.fullmatch(column)]
    if invalid:
        raise UserError(f"details: column {short_repr(invalid[0])}: use letters, digits and _, a letter first")
    own = [column for column in columns if column.lower() in (*OWN_COLUMNS, SEARCH_COLUMN)]
    if own:
        reserved = ", ".join((*OWN_COLUMNS, SEARCH_COLUMN))
        raise UserError(f"details: column {own[0]}: the gallery has {reserved} itself; rename it")
    if len({column.lower() for column in columns}) != len(columns):
        raise UserError(f"details: columns {', '.join(columns)}: two of them are equal, or differ only in case")
    if len(columns) > MOST_COLUMNS:
        raise UserError(f"details: {len(columns)} columns; a gallery has at most {MOST_COLUMNS}")


def require_own_columns(columns: Sequence[str]) -> None:
    """Raise UserError if one of a user's details has the name of the one that says where an image came from."""
    taken = [column for column in columns if isinstance(column, str) and column.lower() == ENROLLED_BY]
    if taken:
        raise UserError(f"details: column {taken[0]}: the gallery notes there what came through the API; rename it")


def _valid_details(details: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the details of `count` images as text, with the rows 0 to count - 1. Raises UserError if invalid."""
    if not len(details.columns):
        return pd.DataFrame(index=pd.RangeIndex(count))
    require_columns(list(details.columns))
    if len(details) != count:
        raise UserError(f"details: {len(details)} rows for {count} images")
    for column in details.columns:
        wrong = [value for value in details[column] if not isinstance(value, str) or CONTROL.search(value)]
        if wrong:
            raise UserError(f"details: column {printable(column)}: {short_repr(wrong[0])} is not text on one line")
    return details.reset_index(drop=True).astype(str)
