"""Rasterisation, compared with a loop over every pixel."""

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats, Integers
from data_cache.synthetic.geometry.rasterise import NOTHING, planes, rasterise, signed_area


def _naive(screen: Floats, inverse_depth: Floats, shape: tuple[int, int]) -> Integers:
    """Return the nearest triangle of each pixel by barycentric coordinates."""
    picture = np.full(shape, NOTHING)
    for row in range(shape[0]):
        for column in range(shape[1]):
            best = 0.0
            for index, corners in enumerate(screen):
                matrix = np.vstack([corners.T, np.ones(3)])
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                share = np.linalg.solve(matrix, [column + 0.5, row + 0.5, 1.0])
                nearness = float(share @ inverse_depth[index])
                if share.min() >= -1e-12 and nearness > best:
                    best, picture[row, column] = nearness, index
    return picture


def test_two_intersecting_triangles() -> None:
    screen = np.array([[[1, 1], [18, 3], [4, 14]], [[2, 12], [19, 13], [12, 0.5]]], dtype=float)
    inverse_depth = np.array([[0.5, 0.1, 0.1], [0.2, 0.2, 0.25]])
    picture = rasterise(screen, inverse_depth, (16, 20))
    assert set(np.unique(picture)) == {NOTHING, 0, 1}
    np.testing.assert_array_equal(picture, _naive(screen, inverse_depth, (16, 20)))


def test_many_triangles_partly_outside_the_picture() -> None:
    rng = np.random.default_rng(1)
    screen = rng.uniform(-8, 28, (25, 3, 2))
    screen[3] = screen[3, :1]  # no area
    inverse_depth = rng.uniform(0.05, 0.2, (25, 3))
    np.testing.assert_array_equal(rasterise(screen, inverse_depth, (14, 22)), _naive(screen, inverse_depth, (14, 22)))


def test_no_triangles() -> None:
    assert (rasterise(np.zeros((0, 3, 2)), np.zeros((0, 3)), (4, 5)) == NOTHING).all()


def test_planes_pass_through_the_corners() -> None:
    rng = np.random.default_rng(3)
    screen, values = rng.uniform(0, 30, (6, 3, 2)), rng.normal(size=(6, 3, 4))
    corners = np.concatenate([screen, np.ones((6, 3, 1))], axis=2)
    np.testing.assert_allclose(np.einsum("tvc,tpc->tpv", planes(screen, values), corners), values, atol=1e-9)


def test_area_of_a_known_triangle() -> None:
    counter_clockwise = np.array([[[0.0, 0.0], [0.0, 4.0], [6.0, 4.0]]])  # rows grow downwards
    assert signed_area(counter_clockwise)[0] == 12.0
    assert signed_area(counter_clockwise[:, ::-1])[0] == -12.0
