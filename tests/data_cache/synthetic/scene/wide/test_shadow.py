"""Shadows: where the sun and the sky do not reach, on a plate above the road."""

import numpy as np

from data_cache.synthetic.geometry.mesh import Mesh, box
from data_cache.synthetic.scene.wide.shadow import map_dimmed_ground, map_sun


def _slab() -> Mesh:
    """Return a plate of 2 m by 1 m, one metre above the road."""
    solid = box((0.0, 0.0, 1.0), (2.0, 1.0, 0.02))
    count = len(solid.corners)
    return Mesh(solid.corners, solid.normals, np.zeros((count, 3, 2)), np.zeros(count, np.uint8))


def test_a_shadow_falls_away_from_the_sun() -> None:
    sun = map_sun(_slab(), np.array([0.6, 0.0, 0.8]))
    x = np.array([[-0.75, 0.0, 1.0, -2.0, -0.75]], np.float32)  # the shadow's middle is 0.75 m behind the plate's
    y = np.array([[0.0, 0.0, 0.0, 0.0, 0.8]], np.float32)
    assert sun.falls_on(x, y).round().tolist() == [[1, 1, 0, 0, 0]]
    points = np.array([[0.0, -0.75], [0.0, 0.0], [1.01, 0.0]], np.float32)  # on the plate, and in its shadow
    assert sun.lit(points).tolist() == [1, 0]


def test_the_ground_is_darkest_below_the_vehicle() -> None:
    dimmed = map_dimmed_ground(_slab())
    share = dimmed.falls_on(np.array([[0.0, 1.05, 5.0]], np.float32), np.zeros((1, 3), np.float32))[0]
    assert share[0] > 0.8 > share[1] > 0.05 and share[2] == 0
