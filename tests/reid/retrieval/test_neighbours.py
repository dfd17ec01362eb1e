"""The exact search against sorted lists of all distances, and its order where images are equal."""

import numpy as np
import pytest

from helpers.toy.clusters import clustered
from reid.retrieval.neighbours import nearest, squared_distances


@pytest.mark.parametrize("k", [1, 4, 60, 100])
@pytest.mark.parametrize("skip_itself", [False, True])
def test_nearest_is_the_head_of_the_sorted_distances(k: int, skip_itself: bool) -> None:
    features = clustered(10, 60)
    among = features if skip_itself else clustered(11, 45)
    found = nearest(features, among, k, chunk=13, device="cpu", skip_itself=skip_itself)
    distances = ((features[:, None].astype(np.float64) - among[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(found.farthest, distances.max(axis=1), atol=1e-5)
    for row, order in enumerate(np.argsort(distances, axis=1)):
        expected = [other for other in order.tolist() if not (skip_itself and other == row)]
        assert found.rows[row].tolist() == expected[:k]


def test_equal_images_are_ordered_by_row_whatever_the_chunk() -> None:
    """Every image occurs three times; the product alone would order the three by its rounding."""
    features = np.tile(clustered(12, 30, channels=333), (3, 1))
    for chunk in (1, 8, 90):
        rows = nearest(features, features, 2, chunk=chunk, device="cpu", skip_itself=True).rows
        twins = [sorted({row % 30, row % 30 + 30, row % 30 + 60} - {row}) for row in range(90)]
        assert rows.tolist() == twins


def test_squared_distances_of_equal_features_are_zero() -> None:
    features = clustered(13, 5, channels=333)
    rows = np.arange(5)
    assert squared_distances(features, features.copy(), rows, rows).tolist() == [0] * 5
