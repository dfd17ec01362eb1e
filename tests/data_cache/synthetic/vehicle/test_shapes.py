"""Solids and body shells: closed, facing outwards, and of the right size."""

import numpy as np
import pytest

from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.geometry.mesh import Mesh, Solid, bar, box, ellipsoid, tube
from data_cache.synthetic.vehicle.shell import loft


def _volume(solid: Solid) -> float:
    """Return the enclosed volume by the divergence theorem, positive if the triangles face outwards."""
    first, second, third = (solid.corners[:, i] for i in range(3))
    return float(np.einsum("tc,tc->", first, np.cross(second, third)) / 6)


def _agreement(solid: Solid) -> float:
    """Return the share of triangles whose normals are on the side that their corners face."""
    face = np.cross(solid.corners[:, 1] - solid.corners[:, 0], solid.corners[:, 2] - solid.corners[:, 0])
    size = np.linalg.norm(face, axis=1)
    agree = np.einsum("tc,tc->t", face, solid.normals.mean(axis=1)) > 0
    return float(agree[size > 1e-9].mean())


@pytest.mark.parametrize(
    ("solid", "volume"),
    [
        (box((1, 2, 3), (1, 2, 3)), 6.0),
        (bar((0, 0, 0), (2, 0, 0), 0.5), 0.5),
        (bar((0, 1, 0), (0, 1, 3), 0.5), 0.75),
        (ellipsoid((0, 0, 1), (1, 2, 1), segments=80), 4 / 3 * np.pi * 2),
        (tube(np.array([[-1, 0], [-1, 0.5], [1, 0.5], [1, 0]]), 100), np.pi / 2),
        (box((0, 0, 0), (1, 1, 1)).moved((5, 0, 0)).tilted(0.7).rolled(0.4), 1.0),
    ],
)
def test_solids_are_closed_and_face_outwards(solid: Solid, volume: float) -> None:
    assert _volume(solid) == pytest.approx(volume, rel=0.02)
    assert _agreement(solid) == 1.0
    assert _volume(solid.inverted()) == pytest.approx(-volume, rel=0.02)


@pytest.mark.parametrize("name", list(BODIES))
def test_shells_are_closed_symmetric_and_of_the_right_size(name: str) -> None:
    body = BODIES[name]
    solid = loft(body).solid
    points = solid.corners.reshape(-1, 3)
    np.testing.assert_allclose(np.ptp(points, axis=0)[:2], [body.length, body.width], atol=0.01)
    assert points[:, 2].max() == pytest.approx(body.height, abs=0.03)
    assert 0.3 < _volume(solid) / (body.length * body.width * body.height) < 0.8
    assert _agreement(solid) > 0.9
    rounded = {tuple(point) for point in np.round(points, 4) + 0.0}
    assert rounded == {tuple(point) for point in np.round(points * [1, -1, 1], 4) + 0.0}


@pytest.mark.parametrize("name", list(BODIES))
def test_wheel_arches_leave_room_for_the_wheels(name: str) -> None:
    body = BODIES[name]
    points = loft(body).solid.corners.reshape(-1, 3)
    for axle in body.axles:
        distance = np.hypot(points[:, 0] - body.ahead(axle), points[:, 2] - body.wheel_radius)
        assert distance.min() > body.wheel_radius


def test_scaling_a_body() -> None:
    original = BODIES["pickup"]
    body = original.scaled(1.1, 1.05, 1.2)
    assert body.length == pytest.approx(1.1 * original.length)
    assert body.half_width_at(2.5) == pytest.approx(1.05 * float(original.half_width_at(2.5 / 1.1)), rel=0.01)
    assert body.height - body.sill == pytest.approx(1.2 * (original.height - original.sill))


def test_a_mesh_refuses_inconsistent_arrays() -> None:
    with pytest.raises(ValueError, match="normals must have shape"):
        Mesh(np.zeros((2, 3, 3)), np.zeros((1, 3, 3)), np.zeros((2, 3, 2)), np.zeros(2, np.uint8))
