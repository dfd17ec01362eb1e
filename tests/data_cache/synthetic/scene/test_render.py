"""Pictures: the right parts from the right sides, boxes that fit what is seen."""

import io

import numpy as np
import pytest
from PIL import Image

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.geometry.camera import road_camera
from data_cache.synthetic.scene.render import SUPERSAMPLING, Picture, render
from data_cache.synthetic.vehicle.model import Model, build_model

BEHIND_GLASS = {
    "annual service signs",
    "entry license",
    "hanging",
    "lay ornament",
    "newer sign",
    "tissuebox",
    "safe belt",
}
REAR_CAMERAS = (1, 5)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [build_model(vehicle) for vehicle in sample_vehicles(90, 5, seed=2)[::5]]


@pytest.fixture(scope="module")
def pictures(models: list[Model]) -> list[tuple[int, Model, Picture]]:
    """Every model by every camera of the table."""
    found = []
    for number, model in enumerate(models):
        for camera in range(8):
            rng = np.random.default_rng((number, camera))
            found.append((camera, model, render(model, road_camera(camera, 0), 180, rng)))
    return found


def _names(picture: Picture) -> set[str]:
    return {PART_NAMES[box.label] for box in picture.boxes}


def test_every_part_occurs(pictures: list[tuple[int, Model, Picture]]) -> None:
    assert set().union(*(_names(picture) for _, _, picture in pictures)) == set(PART_NAMES)


def test_nothing_behind_the_windshield_is_seen_from_behind(pictures: list[tuple[int, Model, Picture]]) -> None:
    rear = [picture for camera, _, picture in pictures if camera in REAR_CAMERAS]
    assert len(rear) == 36
    for picture in rear:
        assert not _names(picture) & BEHIND_GLASS
        assert np.count_nonzero(picture.layers[1]) < 1e-3 * picture.layers[1].size  # a glimpse past the pillar
    assert all({"plate", "car light", "logo"} & _names(picture) for picture in rear)
    glimpsed = sum("wind-shield glass" in _names(picture) for picture in rear)  # past the roof's edge, from high up
    assert glimpsed <= 2


def test_fronts_show_windshield_lamps_and_plate(pictures: list[tuple[int, Model, Picture]]) -> None:
    fronts = [_names(picture) for camera, _, picture in pictures if camera in (0, 2)]
    for name in ("wind-shield glass", "car light", "light cover", "back mirror", "logo"):
        assert sum(name in names for names in fronts) > 0.85 * len(fronts)
    assert any(names & BEHIND_GLASS for names in fronts)


def test_boxes_are_the_extents_of_the_part_numbers(pictures: list[tuple[int, Model, Picture]]) -> None:
    """Derived anew: for each part and layer the outermost rows and columns that hold its number."""
    for _, model, picture in pictures[::7]:
        extents = set()
        for layer in picture.layers:
            for number, part in enumerate(model.parts, start=1):
                held = layer == number
                if held.any():
                    across, down = np.flatnonzero(held.any(axis=0)), np.flatnonzero(held.any(axis=1))
                    edges = (across[0], down[0], across[-1] + 1, down[-1] + 1)
                    extents.add((part.label, *(float(edge) / SUPERSAMPLING for edge in edges)))
        boxes = {(box.label, box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.boxes}
        assert boxes
        assert boxes <= extents


def test_boxes_lie_inside_the_picture(pictures: list[tuple[int, Model, Picture]]) -> None:
    for _, _, picture in pictures:
        opened = Image.open(io.BytesIO(picture.jpeg))
        assert opened.size == (picture.width, picture.height)
        assert opened.mode == "RGB"
        for box in picture.boxes:
            assert box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0
            assert box.x + box.width <= picture.width and box.y + box.height <= picture.height


def test_widths_scatter_about_the_size_asked_for(pictures: list[tuple[int, Model, Picture]]) -> None:
    widths = [picture.width for _, _, picture in pictures]
    assert 150 < np.median(widths) < 215
    assert min(widths) >= 0.4 * 180 and max(widths) <= 2.0 * 180
    assert np.std(widths) > 20


def test_lamps_lie_within_their_covers(pictures: list[tuple[int, Model, Picture]]) -> None:
    """Every light but a few that are cut by the picture or by what stands before it."""
    lights, inside = 0, 0
    cover, light = PART_NAMES.index("light cover"), PART_NAMES.index("car light")
    for _, _, picture in pictures:
        covers = [box for box in picture.boxes if box.label == cover]
        for box in (box for box in picture.boxes if box.label == light):
            lights += 1
            centre = (box.x + box.width / 2, box.y + box.height / 2)
            inside += any(c.x <= centre[0] <= c.x + c.width and c.y <= centre[1] <= c.y + c.height for c in covers)
    assert inside > 0.9 * lights


def test_the_same_stream_gives_the_same_bytes(models: list[Model]) -> None:
    first, again, other = (render(models[0], road_camera(2, 0), 120, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.jpeg == again.jpeg and first.boxes == again.boxes
    assert first.jpeg != other.jpeg


def test_look_alikes_differ_in_the_picture() -> None:
    """Two vehicles of a fleet, the same moment and pose: nearly the same picture, but not the same."""
    one, other = (build_model(vehicle) for vehicle in sample_vehicles(5, 5, seed=8)[:2])
    pictures = [render(model, road_camera(0, 0), 200, np.random.default_rng(3)) for model in (one, other)]
    shapes = {(picture.width, picture.height) for picture in pictures}
    if len(shapes) == 1:
        first, second = (np.asarray(Image.open(io.BytesIO(p.jpeg)), dtype=float) for p in pictures)
        changed = np.abs(first - second).max(axis=2) > 40
        assert 0.001 < changed.mean() < 0.3
