"""Wheels: every rim looks different and ends at its radius, and four wheels stand on the road."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.styles import RIM_TONES, RIMS, WheelStyle
from data_cache.synthetic.geometry.arrays import Bytes
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.wheels import SPOKES, build_wheels, paint_wheel

VEHICLE = sample_vehicles(2, 1, seed=3)[0]
STYLE = WheelStyle(0, 0.7, RIM_TONES[0], (30, 30, 31))


def _canvas(body: str = "sedan") -> Canvas:
    return Canvas(replace(VEHICLE, design=replace(VEHICLE.design, body=BODIES[body])))


def _face(rim: int, style: WheelStyle = STYLE) -> Bytes:
    skin = _canvas().skin("wheel")
    paint_wheel(skin, rim, style)
    return skin.colour[: skin.view.rows, : skin.view.columns].copy()


def test_all_rims_look_different() -> None:
    assert len(SPOKES) == RIMS
    faces = [_face(rim).astype(int) for rim in range(RIMS)]
    for one, other in combinations(faces, 2):
        assert (np.abs(one - other).max(axis=2) > 30).mean() > 0.005


@pytest.mark.parametrize("share", [0.62, 0.80])
def test_the_rim_ends_at_its_share_of_the_radius(share: float) -> None:
    face = _face(3, replace(STYLE, rim_share=share))
    rows, columns = np.mgrid[: face.shape[0], : face.shape[1]]
    distance = np.hypot(rows - (face.shape[0] - 1) / 2, columns - (face.shape[1] - 1) / 2) / (face.shape[0] / 2)
    is_tyre = (face == STYLE.tyre).all(axis=2)
    assert is_tyre[distance > share + 0.03].all()
    assert not is_tyre[distance < share - 0.03].any()


@pytest.mark.parametrize("body", list(BODIES))
def test_four_wheels_stand_on_the_road(body: str) -> None:
    canvas = _canvas(body)
    wheels = build_wheels(canvas)
    assert [canvas.parts[int(wheel.part[0]) - 1].label for wheel in wheels] == [PART_NAMES.index("wheel")] * 4
    for wheel in wheels:
        assert wheel.corners[..., 2].min() == pytest.approx(0.0, abs=0.02)
        assert np.abs(wheel.corners[..., 1]).max() < canvas.body.width / 2
