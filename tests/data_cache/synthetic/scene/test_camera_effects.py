"""Camera effects: each one alone does what its name says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.scene.camera_effects import CameraEffects, apply_camera_effects

NONE = CameraEffects(
    gain=1.0, white_balance=np.ones(3), haze=0.0, contrast=1.0, blur=0.0, motion=0, upscaling=1.0, noise=0.0, glow=0.0,
    sharpening=0.0, quality=90,
)  # fmt: skip


def _apply(light: Floats, **changed: Any) -> Bytes:
    return apply_camera_effects(light.copy(), replace(NONE, **changed), np.random.default_rng(0))


@pytest.fixture
def edge() -> Floats:
    """Dark on the left of column 20, bright on the right."""
    light = np.full((30, 40, 3), 0.1, np.float32)
    light[:, 20:] = 0.5
    return light


def test_mid_grey_by_hand() -> None:
    grey = np.full((4, 4, 3), 0.5, np.float32)
    assert np.unique(_apply(grey)).tolist() == [int(255 * 0.5 ** (1 / 2.2) + 0.5)]


def test_gain_brightens_up_to_white(edge: Floats) -> None:
    assert (_apply(edge, gain=2.0) >= _apply(edge)).all()
    assert (_apply(edge * 100) == 255).all()


def test_upscaling_blurs_and_keeps_the_size(edge: Floats) -> None:
    plain, soft = (_apply(edge, upscaling=upscaling).astype(int) for upscaling in (1.0, 2.3))
    assert soft.shape == plain.shape
    assert np.abs(np.diff(soft, axis=1)).max() < np.abs(np.diff(plain, axis=1)).max()


def test_sharpening_changes_edges_only(edge: Floats) -> None:
    plain, sharp = _apply(edge).astype(int), _apply(edge, sharpening=1.0).astype(int)
    assert sharp[15, 20, 0] > plain[15, 20, 0] and sharp[15, 19, 0] < plain[15, 19, 0]
    np.testing.assert_array_equal(sharp[:, :10], plain[:, :10])


def test_glow_spreads_only_light_above_white(edge: Floats) -> None:
    np.testing.assert_array_equal(_apply(edge, glow=0.5), _apply(edge))
    edge[10:14, 5:9] = 3.0
    with_glow, without = _apply(edge, glow=0.5), _apply(edge)
    assert (with_glow >= without).all() and with_glow[12, 9, 0] > without[12, 9, 0]


def test_noise_is_proportional_to_its_parameter() -> None:
    grey = np.full((80, 80, 3), 0.2, np.float32)
    weak, strong = (_apply(grey, noise=noise).std() for noise in (3.0, 6.0))
    assert strong == pytest.approx(2 * weak, rel=0.1)
