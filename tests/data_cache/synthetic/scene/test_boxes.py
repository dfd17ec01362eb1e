"""Part boxes, compared with a loop over every pixel."""

import numpy as np
import pytest

from data_cache.synthetic.geometry.camera import look_at
from data_cache.synthetic.geometry.mesh import Mesh, box, join_solids
from data_cache.synthetic.scene.boxes import (
    part_extents,
    silhouette_areas,
    unoccluded_areas,
    visible_boxes,
    whole_parts,
)
from data_cache.synthetic.vehicle.canvas import Part


def test_extents_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    layers = [(rng.integers(0, 9, (17, 23)) * (rng.random((17, 23)) < 0.1)).astype(np.uint8) for _ in range(2)]
    layers[1][layers[1] > 0] += 20
    expected = []
    for layer in layers:
        for number in range(1, 256):
            positions = [(c, r) for r in range(17) for c in range(23) if layer[r, c] == number]
            if positions:
                columns, rows = zip(*positions, strict=True)
                expected.append((number, (min(columns), min(rows)), (max(columns), max(rows)), len(positions)))
    assert part_extents(layers) == expected
    assert part_extents([np.zeros((5, 6), np.uint8)]) == []


def test_small_and_mostly_hidden_parts_have_no_box() -> None:
    layer = np.zeros((40, 40), np.uint8)
    layer[0:6, 0:8] = 1  # 12 pixels at 2 x 2 samples: large enough
    layer[10:14, 0:5] = 2  # 5 pixels: too small
    layer[20:26, 0:8] = 3  # 12 of 100 pixels: mostly hidden
    layer[30:38, 10:31] = 4
    boxes = visible_boxes([layer], [Part(14)] * 4, np.array([0, 48, 20, 400, 168]), 2)
    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [(0, 0, 4, 3), (5, 15, 10.5, 4)]


def test_unoccluded_area_of_a_face_seen_head_on() -> None:
    """A 2 m x 1 m face at 10 m, with a focal length of 1,000 pixels: 200 x 100 pixels."""
    camera = look_at(np.array([10.5, 0.0, 0.0]), np.zeros(3), 1000.0)
    solid = box((0, 0, 0), (1, 2, 1))
    built = Mesh(solid.corners, solid.normals, np.zeros((12, 3, 2)), np.full(12, 1, np.uint8))
    outline = np.array([[0.5, -1, -0.5], [0.5, 1, -0.5], [0.5, 1, 0.5], [0.5, -1, 0.5]])
    areas = unoccluded_areas([Part(0), Part(1, outline)], [built], camera)
    np.testing.assert_allclose(areas[1:], [20000, 20000], rtol=1e-6)


def test_pieces_of_a_part_that_cover_each_other_count_once() -> None:
    """A 2 m x 1 m face at 10 m with a smaller one 10 cm before it, hidden by nothing."""
    camera = look_at(np.array([10.5, 0.0, 0.0]), np.zeros(3), 100.0)
    solid = join_solids([box((0, 0, 0), (1, 2, 1)), box((0.55, 0, 0), (0.1, 1, 0.5))])
    mesh = Mesh(solid.corners, solid.normals, np.zeros((24, 3, 2)), np.full(24, 1, np.uint8))
    assert unoccluded_areas([Part(0)], [mesh], camera)[1] > 240
    assert silhouette_areas([Part(0)], [mesh], camera)[1] == pytest.approx(200, rel=0.06)


def test_a_part_is_seen_where_its_pieces_are() -> None:
    surface = np.array([[0, 1, 2, 3], [3, 3, 2, 1]], np.uint8)
    whole, pieces = whole_parts(surface, [Part(0), Part(1, within=1), Part(2)])
    assert whole.tolist() == [[0, 1, 1, 3], [3, 3, 1, 1]]
    assert pieces.tolist() == [[0, 0, 2, 0], [0, 0, 2, 0]]
