"""Rendered pictures: the right parts from each side, and boxes that fit what is visible."""

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
    "annual service signs", "entry license", "hanging", "lay ornament", "newer sign", "tissuebox", "safe belt",
}  # fmt: skip
FRONT_CAMERAS, REAR_CAMERAS = (0, 2), (1, 5)
Rendered = tuple[int, Model, Picture]


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [build_model(vehicle) for vehicle in sample_vehicles(90, 5, seed=2)[::5]]


@pytest.fixture(scope="module")
def pictures(models: list[Model]) -> list[Rendered]:
    """Every model by each of the eight road cameras."""
    return [
        (camera, model, render(model, road_camera(camera, 0), 180, np.random.default_rng((number, camera))))
        for number, model in enumerate(models)
        for camera in range(8)
    ]


def _names(picture: Picture) -> set[str]:
    return {PART_NAMES[box.label] for box in picture.boxes}


def test_every_part_occurs(pictures: list[Rendered]) -> None:
    assert set().union(*(_names(picture) for _, _, picture in pictures)) == set(PART_NAMES)


def test_rear_views_show_nothing_behind_the_windshield(pictures: list[Rendered]) -> None:
    rear = [picture for camera, _, picture in pictures if camera in REAR_CAMERAS]
    assert len(rear) == 36
    for picture in rear:
        assert not _names(picture) & BEHIND_GLASS
        assert np.count_nonzero(picture.layers[1]) < 1e-3 * picture.layers[1].size  # a few pixels past the pillar
        assert {"plate", "car light", "logo"} & _names(picture)
    assert sum("wind-shield glass" in _names(picture) for picture in rear) <= 2  # over the roof, from high cameras


def test_front_views_show_windshield_lamps_and_logo(pictures: list[Rendered]) -> None:
    fronts = [_names(picture) for camera, _, picture in pictures if camera in FRONT_CAMERAS]
    for name in ("wind-shield glass", "car light", "light cover", "back mirror", "logo"):
        assert sum(name in names for names in fronts) > 0.85 * len(fronts)
    assert any(names & BEHIND_GLASS for names in fronts)


def test_boxes_are_the_extents_of_part_numbers(pictures: list[Rendered]) -> None:
    """Computed differently: the first and last rows and columns of each part and layer."""
    for _, model, picture in pictures[::7]:
        extents = set()
        for layer in picture.layers:
            for number, part in enumerate(model.parts, start=1):
                covered = layer == number
                if covered.any():
                    columns, rows = np.flatnonzero(covered.any(axis=0)), np.flatnonzero(covered.any(axis=1))
                    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                    extents.add((part.label, *(float(edge) / SUPERSAMPLING for edge in edges)))
        boxes = {(box.label, box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.boxes}
        assert boxes
        assert boxes <= extents


def test_boxes_are_inside_the_picture(pictures: list[Rendered]) -> None:
    for _, _, picture in pictures:
        opened = Image.open(io.BytesIO(picture.jpeg))
        assert (opened.size, opened.mode) == ((picture.width, picture.height), "RGB")
        for box in picture.boxes:
            assert box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0
            assert box.x + box.width <= picture.width and box.y + box.height <= picture.height


def test_widths_vary_about_the_requested_size(pictures: list[Rendered]) -> None:
    widths = [picture.width for _, _, picture in pictures]
    assert 150 < np.median(widths) < 215
    assert min(widths) >= 0.4 * 180 and max(widths) <= 2.0 * 180
    assert np.std(widths) > 20


def test_most_lights_are_within_covers(pictures: list[Rendered]) -> None:
    """Some covers are cut off by the edge of the picture or hidden by occluders."""
    lights, inside = 0, 0
    for _, _, picture in pictures:
        covers = [box for box in picture.boxes if PART_NAMES[box.label] == "light cover"]
        for box in (box for box in picture.boxes if PART_NAMES[box.label] == "car light"):
            x, y = box.x + box.width / 2, box.y + box.height / 2
            lights += 1
            inside += any(c.x <= x <= c.x + c.width and c.y <= y <= c.y + c.height for c in covers)
    assert inside > 0.9 * lights


def test_the_same_seed_gives_the_same_bytes(models: list[Model]) -> None:
    first, again, other = (render(models[0], road_camera(2, 0), 120, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.jpeg == again.jpeg and first.boxes == again.boxes
    assert first.jpeg != other.jpeg


def test_fleet_mates_look_nearly_the_same() -> None:
    mates = (build_model(vehicle) for vehicle in sample_vehicles(5, 5, seed=8)[:2])
    pictures = [render(model, road_camera(0, 0), 200, np.random.default_rng(3)) for model in mates]
    first, second = (np.asarray(Image.open(io.BytesIO(picture.jpeg)), dtype=float) for picture in pictures)
    changed = np.abs(first - second).max(axis=2) > 40
    assert 0.001 < changed.mean() < 0.3
