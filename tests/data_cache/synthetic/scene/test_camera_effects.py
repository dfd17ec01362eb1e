"""CameraEffects of a picture: each trait does what it is called, alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import ROAD_CAMERAS
from data_cache.synthetic.scene.camera_effects import CameraEffects, apply_camera_effects, sample_camera_effects

PLAIN = CameraEffects(
    gain=1.0, white_balance=np.ones(3), haze=0.0, contrast=1.0, blur=0.0, motion=0, coarse=1.0, noise=0.0, glow=0.0,
    sharpening=0.0, quality=90,
)  # fmt: skip


def _developed(light: Floats, **changed: Any) -> Bytes:
    return apply_camera_effects(light.copy(), replace(PLAIN, **changed), np.random.default_rng(0))


@pytest.fixture
def edge() -> Floats:
    """Dark to the left of column 20, light to its right."""
    light = np.full((30, 40, 3), 0.1, np.float32)
    light[:, 20:] = 0.5
    return light


def test_mid_grey_by_hand() -> None:
    grey = np.full((4, 4, 3), 0.5, np.float32)
    assert np.unique(_developed(grey)).tolist() == [int(255 * 0.5 ** (1 / 2.2) + 0.5)]


def test_gain_brightens_and_white_is_the_end(edge: Floats) -> None:
    assert (_developed(edge, gain=2.0) >= _developed(edge)).all()
    assert (_developed(edge * 100) == 255).all()


def test_coarse_pixels_soften_and_keep_the_size(edge: Floats) -> None:
    plain, soft = (_developed(edge, coarse=coarse).astype(int) for coarse in (1.0, 2.3))
    assert soft.shape == plain.shape
    assert np.abs(np.diff(soft, axis=1)).max() < np.abs(np.diff(plain, axis=1)).max()


def test_sharpening_raises_edges_and_nothing_else(edge: Floats) -> None:
    plain, sharp = _developed(edge).astype(int), _developed(edge, sharpening=1.0).astype(int)
    assert sharp[15, 20, 0] > plain[15, 20, 0] and sharp[15, 19, 0] < plain[15, 19, 0]
    np.testing.assert_array_equal(sharp[:, :10], plain[:, :10])


def test_glow_spreads_only_what_is_brighter_than_white(edge: Floats) -> None:
    np.testing.assert_array_equal(_developed(edge, glow=0.5), _developed(edge))
    edge[10:14, 5:9] = 3.0
    with_glow, without = _developed(edge, glow=0.5), _developed(edge)
    assert (with_glow >= without).all() and with_glow[12, 9, 0] > without[12, 9, 0]


def test_noise_is_as_strong_as_told() -> None:
    grey = np.full((80, 80, 3), 0.2, np.float32)
    spread = [_developed(grey, noise=noise).std() for noise in (3.0, 6.0)]
    assert spread[1] == pytest.approx(2 * spread[0], rel=0.1)


def test_draws_follow_the_stream() -> None:
    one, again = (sample_camera_effects(ROAD_CAMERAS[0], 200, np.random.default_rng(1)) for _ in range(2))
    assert replace(one, white_balance=PLAIN.white_balance) == replace(again, white_balance=PLAIN.white_balance)
    np.testing.assert_array_equal(one.white_balance, again.white_balance)
