"""Number plates: the right size, one or two rows of characters."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.styles import PLATE_FRAMES, PLATE_SIZES
from data_cache.synthetic.design.traits import PLATES
from data_cache.synthetic.geometry.arrays import Booleans
from data_cache.synthetic.geometry.atlas import Material
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.plates import paint_plate

VEHICLE = sample_vehicles(2, 1, seed=3)[0]


def _paint(shape: str, frame: int, colour: str = "white") -> tuple[Canvas, Booleans]:
    """Return the canvas and the texels (rows, columns) of the plate."""
    design = replace(VEHICLE.design, plates=replace(VEHICLE.design.plates, front=shape, frame=frame))
    individual = replace(VEHICLE.individual, plate=colour, plate_text="AB1234")
    canvas = Canvas(replace(VEHICLE, design=design, individual=individual))
    skin = canvas.skin("front")
    skin.fill((90, 20, 120), Material.PAINT)
    paint_plate(canvas, "front", 0.0, (0.0, 0.7))
    return canvas, skin.part == 1


@pytest.mark.parametrize("frame", range(PLATE_FRAMES))
@pytest.mark.parametrize("shape", list(PLATE_SIZES))
def test_the_part_has_the_size_of_the_plate(shape: str, frame: int) -> None:
    canvas, plate = _paint(shape, frame)
    texel = canvas.skin("front").view.texel
    extent = [np.ptp(np.flatnonzero(plate.any(axis=axis))) * texel for axis in (0, 1)]
    np.testing.assert_allclose(extent, PLATE_SIZES[shape], atol=2 * texel)
    assert canvas.parts[0].area == pytest.approx(np.prod(PLATE_SIZES[shape]))


@pytest.mark.parametrize(("shape", "rows"), [("long", 1), ("narrow", 1), ("broad", 2), ("square", 2)])
def test_rows_of_characters(shape: str, rows: int) -> None:
    canvas, plate = _paint(shape, 2)
    inked = ((canvas.skin("front").colour.max(axis=2) < 140) & plate).any(axis=1)
    assert sum(not before and now for before, now in pairwise(inked)) == rows


def test_characters_stay_on_the_plate() -> None:
    for colour, (_, ink) in PLATES.items():
        canvas, plate = _paint("broad", 2, colour)
        outside = canvas.skin("front").colour[~plate].astype(int)
        assert np.abs(outside - ink).sum(axis=1).min() > 60
