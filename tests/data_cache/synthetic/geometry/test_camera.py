"""The pinhole camera, on examples worked by hand, and the road-side cameras."""

import numpy as np
import pytest

from data_cache.synthetic.geometry.camera import ROAD_CAMERAS, Camera, look_at, road_camera


def test_projection_worked_by_hand() -> None:
    """From 10 m ahead at eye level, 1 m to the vehicle's left is 100 pixels right, 1 m up is 100 pixels up."""
    camera = look_at(np.array([10.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]), focal_px=1000.0)
    pixels, depth = camera.project(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0], [5.0, 1.0, 1.0]]))
    np.testing.assert_allclose(pixels, [[0, 0], [100, 0], [0, -100], [200, 0]], atol=1e-9)
    np.testing.assert_allclose(depth, [10, 10, 10, 5])


def test_rays_invert_the_projection() -> None:
    rng = np.random.default_rng(0)
    centred = look_at(np.array([8.0, -5.0, 4.0]), np.array([0.3, 0.1, 0.7]), 700.0, roll=0.1)
    camera = Camera(centred.position, centred.rotation, centred.focal_px, (40.0, 25.0))
    points = rng.uniform(-2, 2, (30, 3))
    pixels, depth = camera.project(points)
    rays = camera.rays(pixels[:, 0], pixels[:, 1])
    np.testing.assert_allclose(camera.position + (rays * depth).T, points, atol=1e-4)


def test_axes_are_orthonormal_and_right_handed() -> None:
    camera = look_at(np.array([3.0, 4.0, 5.0]), np.zeros(3), 500.0, roll=0.3)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)


def test_half_of_the_road_cameras_see_fronts() -> None:
    assert [abs(sum(camera.azimuth)) / 2 < 60 for camera in ROAD_CAMERAS].count(True) == len(ROAD_CAMERAS) / 2 == 4


def test_further_road_cameras_vary_with_the_seed_only() -> None:
    assert road_camera(3, 5) == ROAD_CAMERAS[3]
    assert road_camera(11, 5) == road_camera(11, 5)
    assert road_camera(11, 5) not in (road_camera(11, 6), road_camera(3, 5))
