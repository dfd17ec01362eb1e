"""Surroundings: which walls hide what is behind them, and shade on the road."""

from dataclasses import replace

import numpy as np
import pytest

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.camera import look_at
from data_cache.synthetic.scene.light import sample_light
from data_cache.synthetic.scene.surroundings import (
    FARTHEST_M,
    WALLS,
    Surroundings,
    paint_background,
    sample_surroundings,
)

LIGHT = sample_light(np.random.default_rng(0), 1.0)


def _site(wall_kind: str) -> Surroundings:
    sampled = sample_surroundings(np.random.default_rng(1))
    return replace(sampled, wall_kind=wall_kind, wall_at=4.0, wall_height=0.8, kerb_at=3.0, shaded_from=FARTHEST_M)


def _paint(site: Surroundings) -> Floats:
    """Return (3, 60, 80): level view of the wall from 6 m; the horizon is row 30, a metre at the wall is 20 pixels."""
    camera = replace(look_at(np.array([0.0, -2.0, 1.0]), np.array([0.0, 4.0, 1.0]), 120.0), centre_px=(40.0, 30.0))
    return paint_background(camera, site, LIGHT, (60, 80))


@pytest.mark.parametrize("kind", WALLS)
def test_pictures_are_finite_and_not_negative(kind: str) -> None:
    picture = _paint(_site(kind))
    assert picture.shape == (3, 60, 80)
    assert np.isfinite(picture).all() and picture.min() >= 0


def test_a_building_hides_the_sky_and_a_barrier_does_not() -> None:
    building, barrier, rail = (_paint(_site(kind)) for kind in ("building", "barrier", "rail"))
    sky = rail[:, 2]
    np.testing.assert_allclose(rail[:, :25], np.flip(rail[:, :25], axis=2), atol=1e-6)  # nothing above a rail
    assert np.abs(building[:, 2] - sky).max() > 0.05
    np.testing.assert_allclose(barrier[:, 2], sky, atol=1e-6)
    assert np.abs(barrier[:, 38] - rail[:, 38]).max() > 1e-3  # 0.4 m below eye level: concrete, gap of the rail


def test_a_rail_is_open_below_its_beam() -> None:
    """The beam is 0.48 to 0.8 m high; below it are only posts, 0.14 m wide every 2 m."""
    with_rail, without = (_paint(replace(_site("rail"), wall_at=y)) for y in (4.0, -1e6))
    changed = np.abs(with_rail - without).max(axis=0) > 1e-6
    assert changed[36:40].all()  # 0.5 to 0.7 m
    assert 0 < changed[45].mean() < 0.2  # 0.25 m


def test_shade_darkens_one_side_of_the_road() -> None:
    site = replace(_site("rail"), wall_at=1e6, kerb_at=1e6)
    lit, shaded = _paint(site), _paint(replace(site, shaded_from=-1e-9))
    assert (shaded[:, 50:] <= lit[:, 50:] + 1e-6).all()
