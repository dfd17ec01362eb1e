"""Pictures of the variety "wide": reproducible, with boxes on the visible parts and within the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.scene.render import SUPERSAMPLING, Picture
from data_cache.synthetic.scene.wide.render import render_wide
from data_cache.synthetic.vehicle.model import Model, build_model

SIZE = 90


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [build_model(vehicle) for vehicle in sample_vehicles(6, 1, 5, "wide")]


@pytest.fixture(scope="module")
def pictures(models: list[Model]) -> list[Picture]:
    return [render_wide(model, SIZE, np.random.default_rng(number)) for number, model in enumerate(models)]


def test_the_same_seed_gives_the_same_bytes(models: list[Model], pictures: list[Picture]) -> None:
    again, other = (render_wide(models[3], SIZE, np.random.default_rng(seed)) for seed in (3, 99))
    assert (again.jpeg, again.boxes) == (pictures[3].jpeg, pictures[3].boxes)
    assert other.jpeg != pictures[3].jpeg


def test_boxes_are_extents_of_parts_and_within_the_picture(models: list[Model], pictures: list[Picture]) -> None:
    for model, picture in zip(models, pictures, strict=True):
        opened = Image.open(io.BytesIO(picture.jpeg))
        assert (opened.size, opened.mode) == ((picture.width, picture.height), "RGB")
        extents = set()
        for layer in picture.layers:
            assert layer.shape == (SUPERSAMPLING * picture.height, SUPERSAMPLING * picture.width)
            for number in np.unique(layer[layer > 0]).tolist():
                rows, columns = np.nonzero(layer == number)
                edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                extents.add((model.parts[number - 1].label, *(float(edge) / SUPERSAMPLING for edge in edges)))
        assert {(box.label, box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.boxes} <= extents


def test_most_pictures_have_several_kinds_of_parts(pictures: list[Picture]) -> None:
    names = [{PART_NAMES[box.label] for box in picture.boxes} for picture in pictures]
    assert sum(len(found) >= 2 for found in names) >= 0.5 * len(names)
    assert len(set().union(*names)) >= 7
