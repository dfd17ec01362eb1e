"""Roofs: a carrier is a part, all other equipment is not."""

from dataclasses import replace

import numpy as np
import pytest

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.individuals import CARRIERS
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.styles import ROOF_EQUIPMENT
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.fittings import build_carrier, build_roof_equipment

VEHICLE = sample_vehicles(2, 1, seed=3)[0]


def _canvas(carrier: str, equipment: str, spoiler: bool) -> Canvas:
    roof = replace(VEHICLE.design.roof, equipment=equipment, spoiler=spoiler)
    individual = replace(VEHICLE.individual, carrier=carrier)
    return Canvas(replace(VEHICLE, design=replace(VEHICLE.design, roof=roof), individual=individual))


@pytest.mark.parametrize("kind", CARRIERS)
def test_a_carrier_is_one_part(kind: str) -> None:
    canvas = _canvas(kind, "none", False)
    meshes = build_carrier(canvas)
    assert [part.label for part in canvas.parts] == [PART_NAMES.index("carrier")] * (kind != "none")
    assert bool(meshes) == (kind != "none")
    assert all((mesh.part == 1).all() for mesh in meshes)


@pytest.mark.parametrize("spoiler", [True, False])
@pytest.mark.parametrize("equipment", ROOF_EQUIPMENT)
def test_equipment_is_on_the_roof_and_not_a_part(equipment: str, spoiler: bool) -> None:
    canvas = _canvas("none", equipment, spoiler)
    meshes = build_roof_equipment(canvas)
    assert len(meshes) == spoiler + (equipment != "none")
    assert not canvas.parts
    for mesh in meshes:
        assert not mesh.part.any()
        assert mesh.corners[..., 2].max() > canvas.body.height - 0.35
        assert np.abs(mesh.corners[..., 1]).max() < canvas.body.width / 2


def test_a_carrier_box_excludes_a_hatch() -> None:
    assert build_roof_equipment(_canvas("box", "hatch", False)) == []
    assert len(build_roof_equipment(_canvas("box", "fin", False))) == 1
