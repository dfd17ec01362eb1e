"""Lamps: lights are within their covers for every style and body, and only lit lenses emit light."""

from dataclasses import replace

import numpy as np
import pytest

from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.styles import CLEAR_SECTIONS, HEAD_LAMPS, TAIL_LAMPS
from data_cache.synthetic.geometry.atlas import Material
from data_cache.synthetic.geometry.camera import look_at
from data_cache.synthetic.scene.light import sample_light
from data_cache.synthetic.scene.shading import shade_vehicle
from data_cache.synthetic.vehicle import lamps
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.model import build_model

VEHICLE = sample_vehicles(2, 1, seed=3)[0]


def _canvas(body: str = "sedan", **style: int) -> Canvas:
    design = replace(VEHICLE.design, body=BODIES[body], lamps=replace(VEHICLE.design.lamps, **style))
    return Canvas(replace(VEHICLE, design=design))


def test_every_style_has_a_shape() -> None:
    assert (len(lamps.HEADS), len(lamps.TAILS)) == (HEAD_LAMPS, TAIL_LAMPS)


@pytest.mark.parametrize("body", list(BODIES))
def test_lights_are_within_their_covers(body: str) -> None:
    for style in range(TAIL_LAMPS):
        canvas = _canvas(body, head=style % HEAD_LAMPS, tail=style)
        for outline, light in (lamps.head_lamp(canvas), lamps.tail_lamp(canvas)):
            cover, inner = np.array(outline), np.array(light)
            assert (inner >= cover.min(axis=0) - 1e-9).all() and (inner <= cover.max(axis=0) + 1e-9).all()
            assert cover[:, 0].max() <= canvas.body.width / 2
            assert 0.2 < cover[:, 1].min() < cover[:, 1].max() < canvas.body.height


@pytest.mark.parametrize("style", range(TAIL_LAMPS))
def test_covers_and_lights_are_painted_on_both_sides(style: int) -> None:
    for clear in range(CLEAR_SECTIONS):
        canvas = _canvas(tail=style, clear=clear)
        skin = canvas.skin("rear")
        for side in (1, -1):
            cover, light = lamps.paint_tail_lamp(canvas, side)
            for number in (cover, light):
                columns = np.nonzero(skin.part == number)[1] - skin.view.columns / 2
                assert len(columns) > 20
                assert (side * columns > 0).all()
            assert (skin.material[skin.part == light] == Material.TAIL).mean() > 0.3


def test_head_and_fog_lamps_are_parts() -> None:
    canvas = _canvas()
    lamps.paint_head_lamp(canvas, 1)
    lamps.paint_fog_lamp(canvas, -1)
    assert set(np.unique(canvas.skin("front").part)) == {0, 1, 2, 3, 4}


def test_a_lit_lamp_brightens_its_own_lens_only() -> None:
    model = build_model(VEHICLE)
    camera = look_at(np.array([-9.0, 1.0, 2.5]), np.array([0.0, 0.0, 0.7]), 300.0)
    camera = replace(camera, centre_px=(60.0, 45.0))
    dark = replace(sample_light(np.random.default_rng(0), 1.0), lamps=(0.0, 0.0, 0.0, 0.0))
    braking = replace(dark, lamps=(1.0, 0.0, 0.0, 0.0))
    off, on = (shade_vehicle(model, camera, light, (90, 120)).colour for light in (dark, braking))
    brighter = on[..., 0] - off[..., 0]
    np.testing.assert_allclose(brighter[brighter != 0], 2.0, rtol=1e-4)
    assert 0 < np.count_nonzero(brighter) < 0.1 * brighter.size
