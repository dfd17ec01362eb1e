"""Places and weather: things behind the vehicle, occluders before it, every kind of weather."""

from dataclasses import replace

import numpy as np
import pytest

from data_cache.synthetic.geometry.camera import look_at
from data_cache.synthetic.scene.wide.place.place import Place, sample_place
from data_cache.synthetic.scene.wide.place.sprites import Board
from data_cache.synthetic.scene.wide.place.standing import paint_sprite
from data_cache.synthetic.scene.wide.place.walls import sample_wall
from data_cache.synthetic.scene.wide.weather import KINDS, sample_weather

BUS = np.array([(x, y) for x in (-6.0, 6.0) for y in (-1.25, 1.25)])
CAMERA = look_at(np.array([9.0, 2.0, 1.6]), np.array([0.0, 0.0, 1.2]), 500.0)


@pytest.fixture(scope="module")
def places() -> list[Place]:
    return [sample_place(CAMERA, BUS, np.random.default_rng(seed)) for seed in range(24)]


def test_occluders_are_before_the_vehicle_and_things_behind_it(places: list[Place]) -> None:
    eye = CAMERA.position[:2]
    toward = -eye / np.linalg.norm(eye)
    along = (BUS - eye) @ toward
    for found, before in (("occluders", True), ("things", False)):
        away = [(position - eye) @ toward for place in places for _, position in getattr(place, found)]
        assert len(away) >= 3
        assert 0 < max(away) < along.min() if before else min(away) > along.max()


def test_a_sprite_stands_where_the_camera_sees_its_place() -> None:
    board = Board(20, 40)
    board.rectangle(0, 0, 1, 1, (200, 100, 50))
    camera = look_at(np.array([10.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]), 100.0)
    camera = replace(camera, centre_px=(50.0, 40.0))
    light = sample_weather(0.0, np.random.default_rng(0)).light
    found = paint_sprite(board.finished(2.0), np.array([0.0, 1.0]), camera, light, (80, 100))
    assert found is not None and found.depth == pytest.approx(10)
    rows, columns = np.nonzero(found.opacity > 0.5)
    top, left = (part.start for part in found.window)
    # 2 m at 10 m are 20 pixels, from the horizon - 10 to the road; y = 1 m is 10 pixels to the right, seen from ahead
    assert (rows.min() + top, rows.max() + top) == (30, 49)
    assert (columns.min() + left, columns.max() + left) == (55, 64)
    assert found.light.shape == (*found.opacity.shape, 3)
    assert paint_sprite(board.finished(2.0), np.array([20.0, 0.0]), camera, light, (80, 100)) is None


def test_every_weather_occurs_and_is_never_black() -> None:
    sampled = [sample_weather(0.0, np.random.default_rng(seed)) for seed in range(300)]
    assert {weather.kind for weather in sampled} == set(KINDS)
    for weather in sampled:
        light = weather.light
        assert np.isclose(np.linalg.norm(light.sun), 1)
        assert 0 < float((light.sun_colour + light.zenith).mean()) < 4
        assert (light.horizon > 0).all() and weather.fog < 0.1


@pytest.mark.parametrize(("v", "right"), [(5.0, 1.0), (-5.0, -1.0)])
def test_the_letters_on_a_wall_can_be_read_from_the_road(v: float, right: float) -> None:
    wall = sample_wall(v, np.random.default_rng(1))
    picture = np.zeros_like(wall.colour)
    picture[:, :100] = 255
    wall = replace(wall, start=0.0, height=3.0, colour=picture)
    u, z = right * np.array([[2.0, 6.0]], np.float32), np.full((1, 2), 1.0, np.float32)
    assert wall.albedo(u, z)[0][0, :, 0].tolist() == [1, 0]
