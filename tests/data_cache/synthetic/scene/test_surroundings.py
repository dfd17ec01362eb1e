"""Places: what can be seen through, over and behind."""

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


def _place(kind: str, height: float) -> Surroundings:
    drawn = sample_surroundings(np.random.default_rng(1))
    return replace(drawn, kind=kind, wall_at=4.0, wall_height=height, kerb_at=3.0, shaded_from=FARTHEST_M)


def _seen(place: Surroundings) -> Floats:
    """(3, 60, 80): looking level at the wall from 6 m before it; the horizon is row 30, a metre there 20 pixels."""
    camera = replace(look_at(np.array([0.0, -2.0, 1.0]), np.array([0.0, 4.0, 1.0]), 120.0), centre_px=(40.0, 30.0))
    return paint_background(camera, place, LIGHT, (60, 80))


@pytest.mark.parametrize("kind", WALLS)
def test_pictures_are_finite_and_positive(kind: str) -> None:
    seen = _seen(_place(kind, 0.8))
    assert seen.shape == (3, 60, 80)
    assert np.isfinite(seen).all() and seen.min() >= 0


def test_a_house_hides_the_sky_and_a_low_barrier_does_not() -> None:
    house, barrier, rail = (_seen(_place(kind, 0.8)) for kind in ("building", "barrier", "rail"))
    sky = rail[:, 2]
    np.testing.assert_allclose(rail[:, :25], np.flip(rail[:, :25], axis=2), atol=1e-6)  # nothing above a rail
    assert np.abs(house[:, 2] - sky).max() > 0.05
    np.testing.assert_allclose(barrier[:, 2], sky, atol=1e-6)
    assert np.abs(barrier[:, 38] - rail[:, 38]).max() > 1e-3  # 0.4 m below eye level: concrete against a gap


def test_a_rail_is_open_below_its_beam() -> None:
    """Its beam spans 0.48 to 0.8 m, below it only posts stand, 0.14 m wide every 2 m."""
    with_rail, without = (_seen(replace(_place("rail", 0.8), wall_at=far)) for far in (4.0, -1e6))
    changed = np.abs(with_rail - without).max(axis=0) > 1e-6
    assert changed[36:40].all()  # 0.5 to 0.7 m
    assert 0 < changed[45].mean() < 0.2  # 0.25 m


def test_shade_darkens_one_side_of_the_road() -> None:
    place = replace(_place("rail", 0.8), wall_at=1e6, kerb_at=1e6)
    lit, shaded = _seen(place), _seen(replace(place, shaded_from=-1e-9))
    assert (shaded[:, 50:] <= lit[:, 50:] + 1e-6).all()
