"""Hidden surface removal against a loop over every pixel."""

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats, Integers
from data_cache.synthetic.geometry.rasterise import NOTHING, front_facing, planes, rasterise, signed_area


def _naive(screen: Floats, inverse_depth: Floats, shape: tuple[int, int]) -> Integers:
    """The nearest triangle by barycentric coordinates, one pixel after the other."""
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


def test_two_overlapping_triangles_that_pierce_each_other() -> None:
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


def test_order_of_triangles_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    screen, inverse_depth = rng.uniform(0, 30, (20, 3, 2)), rng.uniform(0.05, 0.2, (20, 3))
    order = rng.permutation(20)
    shuffled = rasterise(screen[order], inverse_depth[order], (30, 30))
    back = np.append(order, NOTHING)[shuffled]
    np.testing.assert_array_equal(back, rasterise(screen, inverse_depth, (30, 30)))


def test_nothing_at_all() -> None:
    assert (rasterise(np.zeros((0, 3, 2)), np.zeros((0, 3)), (4, 5)) == NOTHING).all()


def test_planes_pass_through_the_corners() -> None:
    rng = np.random.default_rng(3)
    screen, values = rng.uniform(0, 30, (6, 3, 2)), rng.normal(size=(6, 3, 4))
    found = planes(screen, values)
    for triangle in range(6):
        for corner in range(3):
            place = np.append(screen[triangle, corner], 1.0)
            np.testing.assert_allclose(found[triangle] @ place, values[triangle, corner], atol=1e-9)


def test_area_and_facing_of_a_known_triangle() -> None:
    down_then_right = np.array([[[0.0, 0.0], [0.0, 4.0], [6.0, 4.0]]])  # counter-clockwise to the eye
    assert signed_area(down_then_right)[0] == 12.0
    assert front_facing(down_then_right)[0]
    assert not front_facing(down_then_right[:, ::-1])[0]
