"""Vehicles of the variety `wide`: every body builds, its surfaces are sound and its parts are where they belong."""

import numpy as np
import pytest

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.design.wide.bodies import CARGO_KINDS, WIDE_BODIES
from data_cache.synthetic.vehicle.model import Model, build_model
from data_cache.synthetic.vehicle.shell import loft

WHEEL, COVER, LIGHT = (PART_NAMES.index(name) for name in ("wheel", "light cover", "car light"))


def _vehicles() -> dict[str, Vehicle]:
    """Return one vehicle of every body and load space."""
    bodies, loads, chosen = set(WIDE_BODIES), set(CARGO_KINDS), {}
    for vehicle in sample_vehicles(700, 1, seed=5, variety="wide"):
        body = vehicle.design.body
        load = None if body.cargo is None else body.cargo.kind
        if body.name in bodies or load in loads:
            bodies.discard(body.name)
            loads.discard(str(load))
            chosen[f"{body.name} {load or ''}"] = vehicle
    assert not bodies and not loads
    return chosen


VEHICLES = _vehicles()


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {kind: build_model(vehicle) for kind, vehicle in VEHICLES.items()}


def test_surfaces_are_finite_and_within_the_atlas(models: dict[str, Model]) -> None:
    for model in models.values():
        rows, columns = model.atlas.material.shape
        for mesh in (model.outside, model.inside):
            assert np.isfinite(mesh.corners).all() and np.isfinite(mesh.normals).all()
            np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=-1), 1, atol=1e-3)
            assert mesh.texture.min() >= 0
            assert mesh.texture[..., 0].max() <= columns and mesh.texture[..., 1].max() <= rows
            assert mesh.part.max() <= len(model.parts)


@pytest.mark.parametrize("kind", list(VEHICLES))
def test_shells_are_closed(kind: str) -> None:
    """The volume of an open surface would depend on the origin."""
    body = VEHICLES[kind].design.body
    corners = loft(body).solid.corners
    volume = float(np.einsum("tc,tc->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()) / 6
    assert 0.3 < volume / (body.length * body.width * body.height) < 0.95
    moved = corners + np.array([10.0, 5.0, 3.0])
    again = float(np.einsum("tc,tc->t", moved[:, 0], np.cross(moved[:, 1], moved[:, 2])).sum()) / 6
    assert again == pytest.approx(volume, rel=1e-6)
    assert corners[..., 0].min() >= body.ahead(body.length) - 0.02


def test_wheels_touch_the_ground_and_nothing_is_below_it(models: dict[str, Model]) -> None:
    for kind, model in models.items():
        body = VEHICLES[kind].design.body
        numbers = [number for number, part in enumerate(model.parts, start=1) if part.label == WHEEL]
        assert len(numbers) == 2 * (2 + len(body.more_axles))
        for number in numbers:
            wheel = model.outside.corners[model.outside.part == number]
            assert wheel[..., 2].min() == pytest.approx(0.0, abs=0.02)
            assert np.abs(wheel[..., 1]).max() < body.full_width / 2 + 0.02
        assert model.outside.corners[..., 2].min() > -0.02


def test_vehicles_are_centred_and_have_their_size(models: dict[str, Model]) -> None:
    for kind, model in models.items():
        body = VEHICLES[kind].design.body
        x, y, z = (model.outside.corners[..., axis] for axis in range(3))
        assert x.max() == pytest.approx(body.full_length / 2, abs=0.5)  # mirrors and guards stick out
        assert x.min() == pytest.approx(-body.full_length / 2, abs=0.2)
        assert np.abs(y).max() < body.full_width / 2 + 0.6
        assert body.full_height - 0.45 < z.max() < body.full_height + 1.0


def test_every_lamp_has_cover_and_light(models: dict[str, Model]) -> None:
    """Lights follow their cover, and lie within it."""
    for model in models.values():
        labels = [part.label for part in model.parts]
        assert labels.count(COVER) == labels.count(LIGHT) >= 4
        for number, label in enumerate(labels):
            if label == COVER:
                cover, light = model.parts[number].outline, model.parts[number + 1].outline
                assert labels[number + 1] == LIGHT and model.parts[number + 1].within == number + 1
                assert cover is not None and light is not None
                assert (light.min(axis=0) >= cover.min(axis=0) - 1e-6).all()
                assert (light.max(axis=0) <= cover.max(axis=0) + 1e-6).all()
                assert model.parts[number + 1].area > 0.1 * model.parts[number].area


def test_painted_parts_are_on_the_vehicle(models: dict[str, Model]) -> None:
    for kind, model in models.items():
        body = VEHICLES[kind].design.body
        for part in model.parts:
            if part.outline is not None:
                x, y, z = part.outline.T
                assert np.abs(x).max() <= body.full_length / 2 + 0.01
                assert np.abs(y).max() <= body.full_width / 2
                assert z.min() > 0.1 and z.max() < body.full_height


def test_every_painted_part_is_in_the_atlas(models: dict[str, Model]) -> None:
    """No lamp, plate or sign is completely covered by what is painted later."""
    for kind, model in models.items():
        painted = np.flatnonzero(np.bincount(model.atlas.part.ravel()))
        missing = [
            PART_NAMES[part.label]
            for number, part in enumerate(model.parts, start=1)
            if part.outline is not None and number not in painted
        ]
        assert not missing, kind


def test_every_part_name_occurs(models: dict[str, Model]) -> None:
    assert {part.label for model in models.values() for part in model.parts} == set(range(len(PART_NAMES)))
