"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

An image is told by the images that are among its nearest and have it among theirs, and two images are alike where
these sets overlap. The published implementation keeps three matrices of all images against all; here the nearest of
each image are found first, and everything after works on them alone.

Like the published numbers, it looks at every gallery image, those that the protocol calls junk too: in use no label is
known. On VeRi-776 the query images are in the gallery, so a query finds itself there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.progress import track
from reid.retrieval.neighbours import Neighbours, nearest, squared_distances
from reid.retrieval.ranking import Matrix, Numbers, require_finite, score_rows

K1, K2, WEIGHT = 20, 6, 0.3  # the paper's, and lambda
# All images within about 0.001 of one: the distances are those of rounding, and there is no nearest.
FLAT = 2.0**-20
COMPARED = 2**20  # comparisons at once
AVERAGED = 256  # rows at once
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


def k_reciprocal_rows(
    query: Matrix,
    gallery: Matrix,
    *,
    k1: int = K1,
    k2: int = K2,
    weight: float = WEIGHT,
    chunk: int,
    device: str = "cpu",
) -> Iterator[tuple[int, Matrix]]:
    """Yield each query's number and its scores (G,), larger for the more alike: minus the paper's distance, eq. 12.

    query (Q, C) and gallery (G, C) have rows of length 1. The distance is `weight` (the paper's lambda) times the
    squared Euclidean one, as a share of the largest from this query to any image, plus 1 - `weight` times the Jaccard
    distance of the k-reciprocal sets. k1 neighbours make a set; the k2 nearest images, itself among them, share theirs.
    More than there are images is all of them. Equal distances are ordered as `nearest` tells, queries first, where the
    published code leaves their order to its sort. Features that are all the same give all images one score.

    Memory: a copy of the features, `chunk` x (Q + G) scores and a few hundred numbers an image. Raises UserError for
    settings out of range and for a feature that is not finite.
    """
    _require_settings(k1, k2, weight)
    require_finite(query, gallery)
    return _rows(query, gallery, k1, k2, weight, chunk, device)


def _require_settings(k1: int, k2: int, weight: float) -> None:
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise UserError(f"re-ranking: {name} is {value}, expected at least 1")
    if not 0 <= weight <= 1:
        raise UserError(f"re-ranking: the weight of the original distance is {weight}, expected 0 to 1")


def _rows(
    query: Matrix, gallery: Matrix, k1: int, k2: int, weight: float, chunk: int, device: str
) -> Iterator[tuple[int, Matrix]]:
    features = np.concatenate([query, gallery])
    found = nearest(features, features, max(k1, k2 - 1), chunk=chunk, device=device, skip_itself=True)
    encodings = _shared_encodings(_encodings(features, found, k1), found, k2)
    images_with = encodings.below(len(query)).transposed(len(features))
    for index, scores in score_rows(query, gallery, chunk=chunk, device=device):
        if found.farthest[index] <= FLAT:
            yield index, np.zeros_like(scores)
            continue
        original = np.maximum(2 - 2 * scores, 0) / found.farthest[index]
        jaccard = _jaccard_distances(encodings, images_with, index, len(gallery))
        yield index, -(np.float32(weight) * original + np.float32(1 - weight) * jaccard)


def _jaccard_distances(encodings: SparseRows, images_with: SparseRows, index: int, count: int) -> Matrix:
    """Return the Jaccard distance of row `index` to each of `count` gallery images, eq. 10, by inverted lists.

    Encodings sum to 1, so the sum of maxima is 2 - the sum of minima.
    """
    _, columns, values = encodings.entries(np.array([index]))
    owners, images, others = images_with.entries(columns)
    minima = np.bincount(images, np.minimum(values[owners], others), minlength=count).astype(np.float32)
    return 1 - minima / (2 - minima)


def _encodings(features: Matrix, found: Neighbours, k1: int) -> SparseRows:
    """Return each image's weights of the images in its expanded set, eq. 7, as a share of their sum, as published."""
    wide = _reciprocal_sets(found.rows, k1)
    narrow = _reciprocal_sets(found.rows, round(k1 / 2))
    at_once = max(1, COMPARED // (wide.shape[1] ** 2 * narrow.shape[1]))
    farthest = np.maximum(found.farthest, FLAT)

    def encoded(rows: Numbers) -> SparseRows:
        places, members = _expanded_sets(wide, narrow, rows)
        distances = squared_distances(features, features, rows[places], members)
        weights = np.exp(-distances / farthest[rows[places]])
        sums = np.bincount(places, weights, minlength=len(rows))
        return SparseRows.of_entries(places, members, weights / sums[places], len(rows))

    blocks = _blocks(len(features), at_once)
    return SparseRows.joined(map(encoded, track(blocks, "k-reciprocal sets", len(features), size=len)))


def _shared_encodings(encodings: SparseRows, found: Neighbours, k2: int) -> SparseRows:
    """Return the mean encoding of each image and its k2 - 1 nearest: local query expansion, eq. 11."""
    groups = _with_itself(found.rows[:, : k2 - 1])
    blocks = _blocks(len(groups), AVERAGED)
    return SparseRows.joined(encodings.mean_of(groups[rows], len(groups)) for rows in blocks)


def _reciprocal_sets(nearest_rows: Numbers, k: int) -> Numbers:
    """Return R(p, k) of every image, eq. 2, with itself: (N, k + 1) rows, -1 where a neighbour is not reciprocal."""
    lists = _with_itself(nearest_rows[:, :k])
    sets = np.empty_like(lists)
    for rows in _blocks(len(lists), max(1, COMPARED // lists.shape[1] ** 2)):
        mutual = (lists[lists[rows]] == rows[:, None, None]).any(axis=2)
        sets[rows] = np.where(mutual, lists[rows], -1)
    return sets


def _expanded_sets(wide: Numbers, narrow: Numbers, rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return R*(p, k1) of the images `rows`, eq. 3, as entries: place in `rows` and member, sorted by both.

    A member's set of half the size joins where more than two thirds of it are in p's own.
    """
    own = wide[rows]
    joining = np.where(own[:, :, None] >= 0, narrow[own], -1)
    there = joining >= 0
    common = there & (joining[..., None] == own[:, None, None, :]).any(axis=3)
    accepted = 3 * common.sum(axis=2) > 2 * there.sum(axis=2)
    joining = np.where(accepted[:, :, None], joining, -1).reshape(len(rows), own.shape[1] * narrow.shape[1])
    members = np.sort(np.concatenate([own, joining], axis=1), axis=1)
    places, columns = np.nonzero(np.diff(members, axis=1, prepend=-1))
    return places, members[places, columns]


def _with_itself(lists: Numbers) -> Numbers:
    return np.concatenate([np.arange(len(lists))[:, None], lists], axis=1)


def _blocks(count: int, size: int) -> Iterator[Numbers]:
    """Yield the rows 0 to `count`, `size` at a time."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
