"""Styles of a fleet: every kind occurs, and kinds of one body only there."""

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

SAMPLES = 400


def test_every_lamp_wheel_and_plate_occurs() -> None:
    rng = np.random.default_rng(0)
    lamps = [sample_lamp_style(rng) for _ in range(SAMPLES)]
    assert {lamp.head for lamp in lamps} == set(range(HEAD_LAMPS))
    assert {lamp.tail for lamp in lamps} == set(range(TAIL_LAMPS))
    assert {lamp.clear for lamp in lamps} == set(range(CLEAR_SECTIONS))
    assert {sample_wheel_style(rng).rim for _ in range(SAMPLES)} == set(range(RIMS))
    plates = [sample_plate_style(rng) for _ in range(SAMPLES)]
    assert {plate.rear for plate in plates} == {plate.front for plate in plates} == set(PLATE_SIZES)
    assert {plate.frame for plate in plates} == set(range(PLATE_FRAMES))


def test_roofs_by_body() -> None:
    rng = np.random.default_rng(0)
    roofs = {body: [sample_roof_style(body, rng) for _ in range(SAMPLES)] for body in BODIES}
    assert {roof.equipment for sampled in roofs.values() for roof in sampled} == set(ROOF_EQUIPMENT)
    for body, sampled in roofs.items():
        assert any(roof.spoiler for roof in sampled) == (body in HATCHED)
        assert any(roof.equipment == "hatch" for roof in sampled) == (body in ("van", "minibus"))


def test_most_rear_windows_are_dark() -> None:
    rng = np.random.default_rng(0)
    rear = np.array([sample_glass_style(rng).rear[0] for _ in range(SAMPLES)])
    assert 0.65 < (rear < 40).mean() < 0.85
    assert rear.max() > 100
