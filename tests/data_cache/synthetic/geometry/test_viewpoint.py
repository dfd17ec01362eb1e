"""Viewpoints: everything lies before the camera, and sizes, heights and directions vary as described."""

import numpy as np
import pytest

from data_cache.synthetic.geometry.mesh import box
from data_cache.synthetic.geometry.viewpoint import MOST_HEIGHT, SMALLEST, WIDTHS, Crop, sample_crop

CAR = box((0.0, 0.0, 0.75), (4.5, 1.8, 1.5)).corners.reshape(-1, 3)
BUS = box((0.0, 0.0, 1.6), (12.0, 2.5, 3.2)).corners.reshape(-1, 3)


@pytest.fixture(scope="module", params=[CAR, BUS], ids=["car", "bus"])
def points(request: pytest.FixtureRequest) -> np.ndarray:
    return np.asarray(request.param)


@pytest.fixture(scope="module")
def crops(points: np.ndarray) -> list[Crop]:
    return [sample_crop(points, 200, np.random.default_rng(seed)) for seed in range(400)]


def test_the_whole_vehicle_is_before_the_camera(points: np.ndarray, crops: list[Crop]) -> None:
    assert min(crop.camera.project(points)[1].min() for crop in crops) > 1.0


def test_half_of_the_pictures_are_from_eye_level_to_fifteen_degrees(points: np.ndarray, crops: list[Crop]) -> None:
    heights = np.array([crop.camera.position[2] for crop in crops])
    away = np.array([np.linalg.norm(crop.camera.position[:2]) for crop in crops])
    degrees = np.degrees(np.arctan2(heights - points[:, 2].mean(), away))
    assert heights.min() > 0.8 and degrees.max() < 42
    assert 0.4 < np.mean(degrees < 15) < 0.75


def test_all_directions_occur(crops: list[Crop]) -> None:
    azimuth = np.degrees([np.arctan2(crop.camera.position[1], crop.camera.position[0]) for crop in crops])
    assert np.histogram(azimuth, bins=12, range=(-180, 180))[0].min() >= 12


def test_sizes_spread_from_small_to_large(crops: list[Crop]) -> None:
    widths, heights = (np.array([getattr(crop, name) for crop in crops]) for name in ("width", "height"))
    assert widths.max() <= WIDTHS[1] * 200 + 1 and widths.min() >= SMALLEST
    assert heights.max() <= MOST_HEIGHT * 200 + 1
    assert np.percentile(widths, 10) < 130 < 400 < np.percentile(widths, 90)


def test_a_tenth_of_the_pictures_cut_off_the_vehicle(points: np.ndarray, crops: list[Crop]) -> None:
    cut = 0
    for crop in crops:
        screen, _ = crop.camera.project(points)
        size = np.array([crop.width, crop.height])
        cut += bool((screen.min(axis=0) < -0.02 * size).any() or (screen.max(axis=0) > 1.02 * size).any())
    assert 0.06 < cut / len(crops) < 0.2
