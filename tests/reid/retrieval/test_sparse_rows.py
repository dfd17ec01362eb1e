"""Sparse rows against the same matrix with its zeros."""

import numpy as np
from numpy.typing import NDArray

from reid.retrieval.reranking import SparseRows

Matrix = NDArray[np.float32]


def test_sparse_rows_do_what_dense_ones_do() -> None:
    random = np.random.default_rng(14)
    dense = np.where(random.random((12, 9)) < 0.3, random.random((12, 9)), 0).astype(np.float32)
    dense[[0, 5, 11]] = 0  # rows with no entry, the first and the last too
    sparse = SparseRows.joined(from_dense(part) for part in np.split(dense, [3, 3, 8]))
    groups = random.integers(0, 12, (7, 4))
    np.testing.assert_array_equal(to_dense(sparse, 9), dense)
    np.testing.assert_array_equal(to_dense(sparse.transposed(9), 12), dense.T)
    np.testing.assert_array_equal(to_dense(sparse.below(4), 9), dense[4:])
    np.testing.assert_allclose(to_dense(sparse.mean_of(groups, 9), 9), dense[groups].mean(axis=1), rtol=1e-6)


def from_dense(dense: Matrix) -> SparseRows:
    owners, columns = np.nonzero(dense)
    return SparseRows.of_entries(owners, columns, dense[owners, columns], len(dense))


def to_dense(sparse: SparseRows, width: int) -> Matrix:
    count = len(sparse.offsets) - 1
    dense = np.zeros((count, width), np.float32)
    owners, columns, values = sparse.entries(np.arange(count))
    dense[owners, columns] = values
    return dense
