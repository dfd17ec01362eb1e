"""Lamps: every style has its light within its cover, on every body, and only a lit lens shines."""

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
from data_cache.synthetic.vehicle.canvas import Canvas, new_canvas
from data_cache.synthetic.vehicle.lamps import (
    HEADS,
    TAILS,
    head_lamp,
    paint_fog_lamp,
    paint_head_lamp,
    paint_tail_lamp,
    tail_lamp,
)
from data_cache.synthetic.vehicle.model import build_model

VEHICLE = sample_vehicles(2, 1, seed=3)[0]


def _canvas(body: str = "sedan", head: int = 0, tail: int = 0, clear: int = 0) -> Canvas:
    design = VEHICLE.design
    lamps = replace(design.lamps, head=head, tail=tail, clear=clear)
    return new_canvas(replace(VEHICLE, design=replace(design, body=BODIES[body], lamps=lamps)))


def test_every_style_that_is_drawn_has_a_shape() -> None:
    assert (len(HEADS), len(TAILS)) == (HEAD_LAMPS, TAIL_LAMPS)


@pytest.mark.parametrize("body", list(BODIES))
def test_lights_lie_within_their_covers(body: str) -> None:
    for style in range(TAIL_LAMPS):
        canvas = _canvas(body, head=style % HEAD_LAMPS, tail=style)
        for outline, light in (head_lamp(canvas), tail_lamp(canvas)):
            cover, inner = np.array(outline), np.array(light)
            assert (inner >= cover.min(axis=0) - 1e-9).all() and (inner <= cover.max(axis=0) + 1e-9).all()
            assert cover[:, 0].max() <= canvas.body.width / 2
            assert 0.2 < cover[:, 1].min() < cover[:, 1].max() < canvas.body.height


@pytest.mark.parametrize("clear", range(CLEAR_SECTIONS))
@pytest.mark.parametrize("style", range(TAIL_LAMPS))
def test_cover_and_light_are_painted_on_both_sides(style: int, clear: int) -> None:
    canvas = _canvas(tail=style, clear=clear)
    skin = canvas.skin("rear")
    for side in (1, -1):
        cover, light = paint_tail_lamp(canvas, skin, side)
        for number in (cover, light):
            columns = np.nonzero(skin.part == number)[1] - skin.view.columns / 2
            assert len(columns) > 20
            assert (side * columns > 0).all()
        shining = skin.material[skin.part == light]
        assert (shining == Material.TAIL).mean() > 0.3


def test_head_and_fog_lamps_are_parts() -> None:
    canvas = _canvas()
    skin = canvas.skin("front")
    paint_head_lamp(canvas, skin, 1)
    paint_fog_lamp(canvas, skin, -1)
    assert set(np.unique(skin.part)) == {0, 1, 2, 3, 4}


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
