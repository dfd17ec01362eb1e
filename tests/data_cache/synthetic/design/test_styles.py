"""What fleets draw of details: everything occurs, and what belongs to one body stays there."""

import numpy as np

from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.styles import (
    CLEAR_SECTIONS,
    HATCHED,
    HEAD_LAMPS,
    PLATE_FRAMES,
    PLATE_SIZES,
    RIMS,
    ROOF_EQUIPMENT,
    TAIL_LAMPS,
    sample_glass_style,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)

DRAWS = 400


def test_every_lamp_wheel_and_plate_occurs() -> None:
    rng = np.random.default_rng(0)
    lamps = [sample_lamp_style(rng) for _ in range(DRAWS)]
    assert {lamp.head for lamp in lamps} == set(range(HEAD_LAMPS))
    assert {lamp.tail for lamp in lamps} == set(range(TAIL_LAMPS))
    assert {lamp.clear for lamp in lamps} == set(range(CLEAR_SECTIONS))
    assert {sample_wheel_style(rng).rim for _ in range(DRAWS)} == set(range(RIMS))
    plates = [sample_plate_style(rng) for _ in range(DRAWS)]
    assert {plate.rear for plate in plates} == {plate.front for plate in plates} == set(PLATE_SIZES)
    assert {plate.frame for plate in plates} == set(range(PLATE_FRAMES))


def test_roofs_by_body() -> None:
    rng = np.random.default_rng(0)
    roofs = {body: [sample_roof_style(body, rng) for _ in range(DRAWS)] for body in BODIES}
    assert {roof.equipment for drawn in roofs.values() for roof in drawn} == set(ROOF_EQUIPMENT)
    for body, drawn in roofs.items():
        assert any(roof.spoiler for roof in drawn) == (body in HATCHED)
        assert any(roof.equipment == "hatch" for roof in drawn) == (body in ("van", "minibus"))


def test_some_rear_windows_are_light_and_most_are_dark() -> None:
    rng = np.random.default_rng(0)
    rear = np.array([sample_glass_style(rng).rear[0] for _ in range(DRAWS)])
    assert 0.65 < (rear < 40).mean() < 0.85
    assert rear.max() > 100
