"""Rows of a matrix that is almost all zeros: only what is not zero is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.ranking import Matrix, Numbers

Columns = NDArray[np.int32]
Integers = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class SparseRows:
    """N rows with E entries in all: row i has those from offsets[i] to offsets[i + 1].

    offsets (N + 1,); columns (E,) int32, ascending within a row; values (E,) float32.
    """

    offsets: Numbers
    columns: Columns
    values: Matrix

    @classmethod
    def of_entries(cls, owners: Integers, columns: Integers, values: NDArray[Any], count: int) -> "SparseRows":
        """Return `count` rows from entries (E,) each, which are sorted by their row `owners`, then by column."""
        offsets = np.searchsorted(owners, np.arange(count + 1))
        return cls(offsets, columns.astype(np.int32), values.astype(np.float32))

    @classmethod
    def joined(cls, parts: Iterable["SparseRows"]) -> "SparseRows":
        """Return the rows of all parts, one part under the other."""
        blocks = list(parts)
        lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([block.columns for block in blocks]),
            np.concatenate([block.values for block in blocks]),
        )

    def entries(self, rows: Integers) -> tuple[Numbers, Columns, Matrix]:
        """Return the entries of `rows` (M,), one row after the other: place of the row in `rows`, column, value."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        owners = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        places = np.arange(len(owners)) + np.repeat(self.offsets[rows] - before, lengths)
        return owners, self.columns[places], self.values[places]

    def mean_of(self, groups: Numbers, width: int) -> "SparseRows":
        """Return, for each group (M, k) of rows, their mean; columns are below `width`."""
        owners, columns, values = self.entries(groups.ravel())
        cells = owners // groups.shape[1] * width + columns
        order = np.argsort(cells, kind="stable")
        cells = cells[order]
        first = np.flatnonzero(np.diff(cells, prepend=-1))
        means = np.add.reduceat(values[order], first) / np.float32(groups.shape[1])
        return SparseRows.of_entries(*np.divmod(cells[first], width), means, len(groups))

    def transposed(self, width: int) -> "SparseRows":
        """Return for each of `width` columns the rows that have an entry there."""
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        order = np.argsort(self.columns, kind="stable")
        return SparseRows.of_entries(self.columns[order], rows[order], self.values[order], width)

    def below(self, row: int) -> "SparseRows":
        """Return the rows from `row` on."""
        first = self.offsets[row]
        return SparseRows(self.offsets[row:] - first, self.columns[first:], self.values[first:])
