"""Pictures of the variety "wide": reproducible, with boxes inside the picture and only of parts that can be seen."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.geometry.arrays import Booleans, Floats
from data_cache.synthetic.geometry.mesh import Mesh, box
from data_cache.synthetic.scene.boxes import PartBox
from data_cache.synthetic.scene.render import Picture
from data_cache.synthetic.scene.wide.contrast import BEHIND_GLASS, cabin_contrast, distinct_boxes, is_resolved
from data_cache.synthetic.scene.wide.lens import distort, distort_layer, distortion_map, sample_lens
from data_cache.synthetic.scene.wide.render import render_wide
from data_cache.synthetic.scene.wide.shadow import map_dimmed_ground, map_sun
from data_cache.synthetic.scene.wide.weather import KINDS, sample_weather
from data_cache.synthetic.vehicle.model import Model, build_model

SIZE = 160


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [build_model(vehicle) for vehicle in sample_vehicles(40, 1, 5, "wide")]


@pytest.fixture(scope="module")
def pictures(models: list[Model]) -> list[Picture]:
    return [render_wide(model, SIZE, np.random.default_rng(number)) for number, model in enumerate(models)]


def test_the_same_seed_gives_the_same_bytes(models: list[Model], pictures: list[Picture]) -> None:
    for number in (3, 11):
        again = render_wide(models[number], SIZE, np.random.default_rng(number))
        assert (again.jpeg, again.boxes) == (pictures[number].jpeg, pictures[number].boxes)
    assert render_wide(models[3], SIZE, np.random.default_rng(99)).jpeg != pictures[3].jpeg


def test_boxes_are_inside_the_picture(pictures: list[Picture]) -> None:
    for picture in pictures:
        opened = Image.open(io.BytesIO(picture.jpeg))
        assert (opened.size, opened.mode) == ((picture.width, picture.height), "RGB")
        for part in picture.boxes:
            assert part.x >= 0 and part.y >= 0 and part.width > 0 and part.height > 0
            assert part.x + part.width <= picture.width and part.y + part.height <= picture.height


def test_most_parts_occur_and_most_pictures_have_some(pictures: list[Picture]) -> None:
    names = [{PART_NAMES[part.label] for part in picture.boxes} for picture in pictures]
    assert sum(len(found) >= 2 for found in names) > 0.85 * len(names)
    assert len(set().union(*names)) >= 13


def test_every_weather_occurs_and_is_never_black() -> None:
    sampled = [sample_weather(0.0, np.random.default_rng(seed)) for seed in range(300)]
    assert {weather.kind for weather in sampled} == set(KINDS)
    for weather in sampled:
        light = weather.light
        assert np.isclose(np.linalg.norm(light.sun), 1)
        assert 0 < float((light.sun_colour + light.zenith).mean()) < 4
        assert (light.horizon > 0).all() and weather.fog < 0.1


def _cabin(reflection: float) -> tuple[Booleans, Floats, Floats]:
    """Return a bright part before a dark cabin behind glass with a reflection: where it is, all light, light within."""
    covered = np.zeros((20, 20), np.bool_)
    covered[6:14, 6:14] = True
    behind = np.where(covered[..., None], 0.25, 0.05) * np.ones(3, np.float32)
    return covered, (behind + reflection).astype(np.float32), behind.astype(np.float32)


def _develop(light: Floats) -> Floats:
    return np.asarray(np.clip(light, 0, 1) ** (1 / 2.2))


def test_reflections_lower_the_contrast_of_parts_in_the_cabin() -> None:
    contrasts = [cabin_contrast(*_cabin(reflection), _develop) for reflection in (0.0, 0.2, 0.6, 1.0)]
    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[0] > 4 * BEHIND_GLASS
    assert contrasts[-1] == 0  # the glass is white


def test_a_part_like_its_surroundings_has_no_contrast() -> None:
    covered, light, behind = _cabin(0.1)
    assert cabin_contrast(covered, light * 0 + 0.2, behind * 0 + 0.1, _develop) < 1e-6


@pytest.mark.parametrize(("reflection", "noise", "kept"), [(0.05, 0.0, True), (1.0, 0.0, False), (0.05, 0.5, False)])
def test_parts_behind_reflections_or_noise_lose_their_box(reflection: float, noise: float, kept: bool) -> None:
    covered, light, behind = _cabin(reflection)
    part = PartBox(0, 6.0, 6.0, 8.0, 8.0)
    layer = 3 * covered.astype(np.uint8)
    found = distinct_boxes([(part, layer, 3)], _develop(light), light, behind, _develop, noise)
    assert found == ([part] if kept else [])


def test_parts_in_the_dark_lose_their_box() -> None:
    part = PartBox(0, 6.0, 6.0, 8.0, 8.0)
    for brightness, kept in ((1.0, True), (0.05, False)):
        value = np.zeros((20, 20, 3), np.float32)
        value[6:14, 6:14] = brightness
        assert distinct_boxes([(part, None, 3)], value, value, value, _develop, 0.0) == ([part] if kept else [])


def test_blur_and_low_resolution_hide_small_parts() -> None:
    part = PartBox(0, 0.0, 0.0, 6.0, 4.0)
    assert [is_resolved(part, spot) for spot in (1.0, 2.0, 2.1, 5.0)] == [True, True, False, False]


def test_part_numbers_are_distorted_as_the_picture_is() -> None:
    lens = replace(sample_lens((60, 80), np.random.default_rng(0)), distortion=0.08, centre=(10.0, 5.0))
    layer = np.zeros((120, 160), np.uint8)
    layer[30:70, 50:120] = 1
    picture = np.repeat(np.repeat(layer[::2, ::2, None], 3, axis=2), 1, axis=0).astype(np.float32)
    moved = distort(picture, distortion_map(lens, (60, 80), 1))[..., 0] > 0.5
    numbers = distort_layer(layer, distortion_map(lens, (60, 80), 2))[::2, ::2] > 0
    assert (picture[..., 0] > 0.5).sum() != moved.sum()
    assert (moved != numbers).mean() < 0.03


def _slab() -> Mesh:
    """Return a plate of 2 m by 1 m, one metre above the road."""
    solid = box((0.0, 0.0, 1.0), (2.0, 1.0, 0.02))
    count = len(solid.corners)
    return Mesh(solid.corners, solid.normals, np.zeros((count, 3, 2)), np.zeros(count, np.uint8))


def test_a_shadow_falls_away_from_the_sun() -> None:
    sun = map_sun(_slab(), np.array([0.6, 0.0, 0.8]))
    x = np.array([[-0.75, 0.0, 1.0, -2.0, -0.75]], np.float32)  # the shadow's middle is 0.75 m behind the plate's
    y = np.array([[0.0, 0.0, 0.0, 0.0, 0.8]], np.float32)
    assert sun.falls_on(x, y).round().tolist() == [[1, 1, 0, 0, 0]]
    points = np.array([[0.0, -0.75], [0.0, 0.0], [1.01, 0.0]], np.float32)  # on the plate, and in its shadow
    assert sun.lit(points).tolist() == [1, 0]


def test_the_ground_is_darkest_below_the_vehicle() -> None:
    dimmed = map_dimmed_ground(_slab())
    share = dimmed.falls_on(np.array([[0.0, 1.05, 5.0]], np.float32), np.zeros((1, 3), np.float32))[0]
    assert share[0] > 0.8 > share[1] > 0.05 and share[2] == 0
